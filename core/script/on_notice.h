/* on_notice.h - an application's function hears what PostgreSQL says beside its answers: the
 * cluster's option on_notice. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_ON_NOTICE_H
#define MOONGATE_SCRIPT_ON_NOTICE_H

#include "script/handles.h"

/* The function on top of the stack, which is popped, hears it from now on; nil: nobody does.
 * `cluster` is an absolute index. */
void on_notice_listen(lua_State *L, int cluster);

/* The cluster is about to be closed: what was not told is not. */
void on_notice_stop(struct cluster_handle *handle);

/* Tells what has come. After a turn of the loop, and after what reads without one: never inside of
 * a callback. The functions may do whatever a hook may, with any object of the state. */
void on_notice_tell(struct state *state);

#endif
