/* nameless.c - linked to the command in the place of getaddrinfo: a lookup that begins, says so, and never ends. */
#include <netdb.h>
#include <unistd.h>

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
    if ((hints->ai_flags & AI_NUMERICHOST) != 0)
        return __real_getaddrinfo(host, port, hints, out);
    (void)!write(STDERR_FILENO, "looking it up\n", 14);
    for (;;)
        (void)pause();
}
