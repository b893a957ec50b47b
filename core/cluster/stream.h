/* stream.h - bytes over a socket, in the clear or through TLS: the one place that tells them apart.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_STREAM_H
#define MOONGATE_CLUSTER_STREAM_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct stream;

struct stream_methods {
	enum status (*read)(struct stream *s, void *to, size_t room, size_t *got);
	enum status (*write)(struct stream *s, const void *from, size_t size, size_t *sent);
	bool (*pending)(const struct stream *s);
};

/* Owns neither the socket nor the TLS session. Zero is "not open". */
struct stream {
	const struct stream_methods *methods;
	int fd;
	void *tls; /* an SSL *, or NULL */
};

/* `tls` is an OpenSSL session that has shaken hands, or NULL for plain bytes. */
void stream_init(struct stream *s, int fd, void *tls);

/* ST_OK: *got > 0 bytes were read. ST_AGAIN: none are there now. ST_CLOSED: the peer has ended.
 * ST_ESERVER: the connection is broken. */
static inline enum status stream_read(struct stream *s, void *to, size_t room, size_t *got)
{
	return s->methods->read(s, to, room, got);
}

/* ST_OK: *sent > 0 bytes were taken, perhaps not all. ST_AGAIN: none can be taken now.
 * ST_CLOSED, ST_ESERVER: the connection is gone. */
static inline enum status stream_write(struct stream *s, const void *from, size_t size,
                                       size_t *sent)
{
	return s->methods->write(s, from, size, sent);
}

/* Whether bytes wait inside of TLS that the socket's readiness will not tell of. */
static inline bool stream_pending(const struct stream *s)
{
	return s->methods->pending(s);
}

#endif
