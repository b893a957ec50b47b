/* pins.h - which clients keep their servers, and why, as the log tells it: each change at level
 * `debug`, and once a minute, as long as there are any, how many at level `info`. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_PINS_H
#define MOONGATE_ROUTER_PINS_H

#include "router/client.h"

#define PINS_KINDS 32 /* bits that struct client's `pins` may have */

/* What a reason is called; NULL: there is none of this bit. */
const char *pins_reason(unsigned pin);

/* Adds to `counts` how many clients each reason holds. */
void pins_tally(const struct worker *w, unsigned counts[PINS_KINDS]);

/* The client's pins may have changed since they were told of last. */
void pins_tell(struct client *c);

/* "listen,prepare": the reasons in `pins`. */
void pins_name(unsigned pins, char *text, size_t size);

/* How many clients each reason holds. */
void pins_count(struct worker *w);

#endif
