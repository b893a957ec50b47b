/* stream.c - see stream.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/stream.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

static enum status socket_error(void)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return ST_AGAIN;
	return errno == ECONNRESET || errno == EPIPE ? ST_CLOSED : ST_ESERVER;
}

static enum status plain_read(struct stream *s, void *to, size_t room, size_t *got)
{
	ssize_t n = recv(s->fd, to, room, 0);
	if (n < 0)
		return socket_error();
	*got = (size_t)n;
	return n ? ST_OK : ST_CLOSED;
}

static enum status plain_write(struct stream *s, const void *from, size_t size, size_t *sent)
{
	ssize_t n = send(s->fd, from, size, MSG_NOSIGNAL);
	if (n < 0)
		return socket_error();
	*sent = (size_t)n;
	return ST_OK;
}

static bool plain_pending(const struct stream *s)
{
	(void)s;
	return false;
}

static enum status tls_error(SSL *ssl, int result)
{
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return ST_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return ST_CLOSED;
	case SSL_ERROR_SYSCALL: /* 0: the peer went without a close_notify */
		return errno ? socket_error() : ST_CLOSED;
	default:
		return ST_ESERVER;
	}
}

static int tls_size(size_t size)
{
	return size < INT_MAX ? (int)size : INT_MAX;
}

static enum status tls_read(struct stream *s, void *to, size_t room, size_t *got)
{
	ERR_clear_error();
	errno = 0;
	int n = SSL_read(s->tls, to, tls_size(room));
	if (n <= 0)
		return tls_error(s->tls, n);
	*got = (size_t)n;
	return ST_OK;
}

static enum status tls_write(struct stream *s, const void *from, size_t size, size_t *sent)
{
	ERR_clear_error();
	errno = 0;
	int n = SSL_write(s->tls, from, tls_size(size));
	if (n <= 0)
		return tls_error(s->tls, n);
	*sent = (size_t)n;
	return ST_OK;
}

static bool tls_pending(const struct stream *s)
{
	return SSL_pending(s->tls) > 0;
}

static const struct stream_methods plain = {plain_read, plain_write, plain_pending};
static const struct stream_methods tls = {tls_read, tls_write, tls_pending};

void stream_init(struct stream *s, int fd, void *session)
{
	*s = (struct stream){.methods = session ? &tls : &plain, .fd = fd, .tls = session};
	/* A write that was cut short is tried again from another buffer, and in parts. */
	if (session)
		SSL_set_mode(session,
		             SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}
