/* Shifts the wall clock of the process that it is loaded into. The file that SKEWED_CLOCK names holds by how
 * many milliseconds, as an integer of eight bytes; it may be written at any time. Every other clock, and so
 * every waiting, is as it was. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_millis;

/* A test that cannot shift the clock must not pass with one that is right. */
__attribute__((constructor)) static void find_shift(void)
{
    const char *path = getenv("SKEWED_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        abort();
    void *shift = mmap(NULL, sizeof *shift_millis, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (shift == MAP_FAILED)
        abort();
    shift_millis = shift;
}

/* Past the functions that stand here in the C library's place. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (result != 0 || !is_wall || shift_millis == NULL)
        return result;
    int64_t nanos = now->tv_nsec + *shift_millis % 1000 * 1000000;
    now->tv_sec += *shift_millis / 1000 + (nanos >= 1000000000) - (nanos < 0);
    now->tv_nsec = (nanos + 1000000000) % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0)
        return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *copy)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (copy != NULL)
        *copy = now.tv_sec;
    return now.tv_sec;
}
