/* Makes the Ethernet device that its argument names, and hands what is sent to it over the socket that is its
 * standard input: whoever reads from the descriptor gets the frames that leave through the device, and what it
 * writes arrives there. It works from any namespace, and the device is gone when the last copy of it is closed. */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int fail(const char *what)
{
    perror(what);
    return 1;
}

int main(int count, char **arguments)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = {{0}};
    char one = 1;
    struct iovec body = {.iov_base = &one, .iov_len = 1};
    struct msghdr message = {.msg_iov = &body,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};

    if (count != 2 || strlen(arguments[1]) >= sizeof request.ifr_name)
        return 2;
    strcpy(request.ifr_name, arguments[1]);
    int device = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (device < 0)
        return fail("/dev/net/tun");
    if (ioctl(device, TUNSETIFF, &request) < 0)
        return fail("TUNSETIFF");
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof device);
    memcpy(CMSG_DATA(head), &device, sizeof device);
    return sendmsg(0, &message, 0) == 1 ? 0 : fail("sendmsg");
}
