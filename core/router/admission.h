/* admission.h - on_connect: the policy of a session's cluster may send it to another one, or away.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_ADMISSION_H
#define MOONGATE_ROUTER_ADMISSION_H

#include "router/client.h"

/* The client has its home and its settings. False: it was sent away, and told so. */
bool admission_ask(struct client *c);

#endif
