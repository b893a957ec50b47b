/* report.h - what a server says of its session while it answers a client. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_REPORT_H
#define MOONGATE_ROUTER_REPORT_H

#include "router/relay.h"

/* A ParameterStatus: the setting will have to be asked for. The client is to see `*instead`, if
 * that is set: the server reports its own value after RESET, and the client has the one it started
 * with. */
enum status report_parameter(struct exchange *x, const uint8_t *body, size_t size,
                             const uint8_t **instead, size_t *instead_size) MUST_CHECK;

/* An ErrorResponse, with the edit that is due, if any: what the client is to see instead is
 * appended to `instead`, where it would see a name that is the router's. */
enum status report_error(struct exchange *x, const struct edit *edit, const uint8_t *body,
                         size_t size, struct buffer *instead) MUST_CHECK;

/* A CommandComplete: RESET has happened; DISCARD ALL and DEALLOCATE ALL have cleaned the session.
 */
void report_command(struct exchange *x, const uint8_t *body, size_t size);

#endif
