/* address.c - see address.h. */
/* SPDX-License-Identifier: MIT */
#include "router/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void address_text(const struct sockaddr_storage *from, socklen_t size, char out[ADDRESS_TEXT])
{
	char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
	getnameinfo((const struct sockaddr *)from, size, host, sizeof host, port, sizeof port,
	            NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(out, ADDRESS_TEXT, "%s:%s", host, port);
}

/* "host:port" in its two halves, in place; false: it has no port. */
static bool split_address(char *address, char **host, char **port)
{
	char *colon = strrchr(address, ':');
	if (!colon || !colon[1])
		return false;
	*colon = '\0';
	*port = colon + 1;
	*host = address;
	size_t size = strlen(address);
	if (*address == '[' && size > 1 && address[size - 1] == ']') {
		address[size - 1] = '\0';
		*host = address + 1;
	}
	return true;
}

static int listen_on(const struct addrinfo *at)
{
	int on = 1, fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

int address_listen(const char *address, char *error, size_t error_size)
{
	char copy[ADDRESS_TEXT], *host, *port;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
	snprintf(copy, sizeof copy, "%s", address);
	if (!split_address(copy, &host, &port)) {
		snprintf(error, error_size, "cannot listen on \"%s\": expected HOST:PORT", address);
		return -1;
	}
	int failed = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (failed) {
		snprintf(error, error_size, "cannot listen on \"%s\": %s", address,
		         gai_strerror(failed));
		return -1;
	}
	int fd = -1;
	for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
		fd = listen_on(at);
	if (fd < 0)
		snprintf(error, error_size, "cannot listen on \"%s\": %s", address,
		         strerror(errno));
	freeaddrinfo(found);
	return fd;
}

bool address_of(int fd, char out[ADDRESS_TEXT])
{
	struct sockaddr_storage at;
	socklen_t size = sizeof at;
	if (getsockname(fd, (struct sockaddr *)&at, &size) != 0)
		return false;
	address_text(&at, size, out);
	return true;
}

bool address_is_loopback(int fd)
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at = {0};
	socklen_t size = sizeof at;
	if (getsockname(fd, (struct sockaddr *)&at, &size) != 0)
		return false;
	if (at.any.ss_family == AF_INET)
		return ntohl(at.v4.sin_addr.s_addr) >> 24 == 127;
	return at.any.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&at.v6.sin6_addr);
}
