/* asked.h - what the awaited answers were asked, for policies that hear of errors (on_error).
 *
 * Kept only where the client's policy has such a hook; else nothing is allocated or copied. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_ASKED_H
#define MOONGATE_ROUTER_ASKED_H

#include "router/relay.h"

/* The batch goes to the server now; its answer will be the `place`th that is awaited from now on
 * (exchange->outstanding). */
void asked_note(struct exchange *x, const struct batch *b);

/* Likewise, but the router refuses the batch: its error is not told. */
void asked_skip(struct exchange *x);

/* The answer that is awaited first is an error: the policy is told. */
void asked_failed(struct exchange *x, const char *sqlstate, const char *message);

/* The same, of an ErrorResponse's body that the client gets. */
void asked_refused(struct exchange *x, const uint8_t *body, size_t size);

/* No server could be had for the batch at hand. */
void asked_in_vain(struct client *c, const struct batch *b, const char *sqlstate,
                   const char *message);

/* Fine at any time. */
void asked_free(struct exchange *x);

#endif
