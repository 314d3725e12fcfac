/* Makes what is below a folder read-only for the process that it is loaded into, open files included, as when a
 * kernel finds errors on a disk. FROZEN_DISK names the folder; it is read-only while the file of the same name
 * with `.frozen` behind it exists. A mount cannot be made so while files are open for writing. */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[4096], marker[4110];

/* A test that cannot freeze the disk must not pass with one that works. */
__attribute__((constructor)) static void find_folder(void)
{
    const char *path = getenv("FROZEN_DISK");
    if (path == NULL || strlen(path) >= sizeof folder)
        abort();
    strcpy(folder, path);
    sprintf(marker, "%s.frozen", folder);
}

static int is_frozen(const char *path)
{
    size_t length = strlen(folder);
    if (length == 0 || strncmp(path, folder, length) != 0 || path[length] != '/')
        return 0;
    int before = errno, frozen = faccessat(AT_FDCWD, marker, F_OK, 0) == 0;
    errno = before;
    return frozen;
}

static int is_frozen_file(int file)
{
    char link[64], path[4096];
    int before = errno;
    sprintf(link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_frozen(path);
}

#define REFUSE_IF(frozen) if (frozen) { errno = EROFS; return -1; }
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        int is_new = (flags & O_CREAT) && faccessat(AT_FDCWD, path, F_OK, 0) != 0; \
        REFUSE_IF(((flags & O_ACCMODE) != O_RDONLY || is_new) && is_frozen(path)) \
        return REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int file, const void *bytes, size_t count)
{
    REFUSE_IF(is_frozen_file(file))
    return REAL(write)(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at)
{
    REFUSE_IF(is_frozen_file(file))
    return REAL(pwrite)(file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at)
{
    REFUSE_IF(is_frozen_file(file))
    return REAL(pwrite64)(file, bytes, count, at);
}

int ftruncate(int file, off_t size)
{
    REFUSE_IF(is_frozen_file(file))
    return REAL(ftruncate)(file, size);
}

int ftruncate64(int file, off64_t size)
{
    REFUSE_IF(is_frozen_file(file))
    return REAL(ftruncate64)(file, size);
}

int unlink(const char *path)
{
    REFUSE_IF(is_frozen(path))
    return REAL(unlink)(path);
}

int rename(const char *from, const char *to)
{
    REFUSE_IF(is_frozen(from) || is_frozen(to))
    return REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    REFUSE_IF(is_frozen(path))
    return REAL(mkdir)(path, mode);
}
