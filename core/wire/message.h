/* message.h - messages as they are written to clients and read from servers (chapter 55.7).
 *
 * Writers append one whole message, or on ST_ENOMEM nothing. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_WIRE_MESSAGE_H
#define MOONGATE_WIRE_MESSAGE_H

#include "base/buffer.h"
#include "base/status.h"
#include "wire/startup.h"

/* `status` is 'I' idle, 'T' in a block, 'E' in a failed block. */
enum status message_ready(struct buffer *b, char status) MUST_CHECK;
enum status message_authenticated(struct buffer *b) MUST_CHECK;
enum status message_parameter(struct buffer *b, const char *name, const char *value) MUST_CHECK;
enum status message_key(struct buffer *b, uint32_t pid, const uint8_t *secret,
                        size_t secret_size) MUST_CHECK;

/* `severity` is "ERROR" or "FATAL"; `hint` may be NULL. */
enum status message_error(struct buffer *b, const char *severity, const char *sqlstate,
                          const char *message, const char *hint) MUST_CHECK;

/* NoticeResponse, of severity NOTICE and SQLSTATE 00000. */
enum status message_notice(struct buffer *b, const char *message) MUST_CHECK;

/* Tells a client that asked for a newer minor version than ours, or for `_pq_.` options, what it
 * gets: the newest that we speak, and none of the options. Appends nothing when there is nothing to
 * tell. */
enum status message_negotiate(struct buffer *b, const struct startup *startup) MUST_CHECK;

/* A message without a body: ParseComplete '1', BindComplete '2', CloseComplete '3', NoData 'n' ...
 */
enum status message_bare(struct buffer *b, char type) MUST_CHECK;

/* CommandComplete. */
enum status message_command(struct buffer *b, const char *tag) MUST_CHECK;

/* ParameterDescription of a statement without parameters. */
enum status message_no_parameters(struct buffer *b) MUST_CHECK;

/* RowDescription of one column of type text, and a DataRow of it. */
enum status message_column(struct buffer *b, const char *name) MUST_CHECK;
enum status message_text_row(struct buffer *b, const char *value) MUST_CHECK;

/* A header; `size` bytes of body are to follow. */
enum status message_begin(struct buffer *b, char type, size_t size) MUST_CHECK;

/* A simple query. */
enum status message_query(struct buffer *b, const char *sql, size_t size) MUST_CHECK;

/* Parse; `body` is what follows the name: text, parameter types. */
enum status message_parse(struct buffer *b, const char *name, const void *body,
                          size_t size) MUST_CHECK;

/* Bind without parameters and formats. */
enum status message_bind(struct buffer *b, const char *portal, const char *statement) MUST_CHECK;

enum status message_close_statement(struct buffer *b, const char *name) MUST_CHECK;

/* A field of an ErrorResponse's body (55.8): its NUL-terminated value, or NULL. */
const char *message_error_field(const uint8_t *body, size_t size, char field);

#endif
