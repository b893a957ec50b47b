/* wash.h - a server whose client has left state behind is cleaned by DISCARD ALL before it is lent
 * again. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_WASH_H
#define MOONGATE_ROUTER_WASH_H

#include "router/worker.h"

struct server;

/* The server is nobody's and outside of a block; `errands` queries of ours (errand.h) are still to
 * be answered, and nothing else. It goes back to its pool when it is clean, and is closed where
 * that fails. */
void wash_server(struct worker *w, struct server *server, unsigned errands);

/* Those under way are closed: the worker ends. */
void wash_stop(struct worker *w);

#endif
