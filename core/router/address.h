/* address.h - addresses to listen on: "host:port", "[v6]:port" or ":port" (all addresses). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_ADDRESS_H
#define MOONGATE_ROUTER_ADDRESS_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define ADDRESS_TEXT (NI_MAXHOST + NI_MAXSERV)

/* A socket that listens there, which does not block and is the caller's; or -1, and `error` says
 * why. */
int address_listen(const char *address, char *error, size_t error_size);

/* "127.0.0.1:6432" */
void address_text(const struct sockaddr_storage *from, socklen_t size, char out[ADDRESS_TEXT]);

/* Where the socket really listens; false: it does not say. */
bool address_of(int fd, char out[ADDRESS_TEXT]);

/* Whether nobody but this machine reaches it. */
bool address_is_loopback(int fd);

#endif
