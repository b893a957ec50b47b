/* startup.c - see startup.h. */
/* SPDX-License-Identifier: MIT */
#include "wire/startup.h"

#include "wire/frame.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CANCEL_CODE 80877102u
#define SSL_CODE    80877103u
#define GSS_CODE    80877104u
#define FIXED_PART  8   /* length and code */
#define SECRET_MAX  256 /* bytes of a cancel key, from protocol 3.2 on */

bool startup_next(const char **at, const char **name, const char **value)
{
	if (!**at)
		return false;
	*name = *at;
	*value = *name + strlen(*name) + 1;
	*at = *value + strlen(*value) + 1;
	return true;
}

/* The list must end with an empty name exactly where the packet ends. */
static bool well_formed(const char *list, size_t size)
{
	const char *at = list, *end = list + size;
	if (size == 0 || end[-1] != '\0')
		return false;
	while (at < end && *at) {
		at += strlen(at) + 1; /* the last byte is a NUL: never beyond `end` */
		if (at >= end)
			return false;
		at += strlen(at) + 1;
	}
	return at == end - 1;
}

static enum status refuse(const char **wrong, const char **sqlstate, const char *what,
                          const char *code)
{
	*wrong = what;
	*sqlstate = code;
	return ST_ECLIENT;
}

/* A boolean as parse_bool() takes it: unique beginnings of the words will do, in any case. */
static bool is_word(const char *value, const char *word, size_t at_least)
{
	size_t size = strlen(value);
	return size >= at_least && size <= strlen(word) && strncasecmp(value, word, size) == 0;
}

static bool read_replication(const char *value, enum startup_replication *replication)
{
	bool yes = is_word(value, "true", 1) || is_word(value, "yes", 1) ||
	           is_word(value, "on", 2) || is_word(value, "1", 1);
	bool no = is_word(value, "false", 1) || is_word(value, "no", 1) ||
	          is_word(value, "off", 2) || is_word(value, "0", 1);
	*replication = yes ? REPLICATION_PHYSICAL : REPLICATION_NONE;
	if (strcmp(value, "database") == 0)
		*replication = REPLICATION_LOGICAL;
	return yes || no || *replication == REPLICATION_LOGICAL;
}

static enum status read_parameters(struct startup *s, const char **wrong, const char **sqlstate)
{
	const char *next = s->parameters, *name, *value;
	while (startup_next(&next, &name, &value)) {
		if (strcmp(name, "user") == 0)
			s->user = value;
		else if (strcmp(name, "database") == 0)
			s->database = value;
		else if (strcmp(name, "replication") == 0 &&
		         !read_replication(value, &s->replication)) {
			snprintf(s->complaint, sizeof s->complaint,
			         "invalid value for parameter \"replication\": \"%.40s\"", value);
			return refuse(wrong, sqlstate, s->complaint, "22023");
		}
	}
	return ST_OK;
}

static enum status read_session(const uint8_t *at, struct startup *s, const char **wrong,
                                const char **sqlstate)
{
	uint32_t code = wire_u32(at + 4);
	if (code >> 16 != 3) {
		snprintf(s->complaint, sizeof s->complaint,
		         "unsupported frontend protocol %u.%u: server supports 3.0 to 3.%u",
		         (unsigned)(code >> 16), (unsigned)(code & 0xffff), STARTUP_MINOR);
		return refuse(wrong, sqlstate, s->complaint, "0A000");
	}
	s->kind = STARTUP_SESSION;
	s->minor = (uint16_t)code;
	s->parameters = (const char *)at + FIXED_PART;
	if (!well_formed(s->parameters, s->size - FIXED_PART))
		return refuse(wrong, sqlstate,
		              "invalid startup packet layout: expected terminator as last byte",
		              "08P01");
	enum status status = read_parameters(s, wrong, sqlstate);
	if (status != ST_OK)
		return status;
	if (!s->user || !*s->user)
		return refuse(wrong, sqlstate,
		              "no PostgreSQL user name specified in startup packet", "28000");
	if (!s->database || !*s->database)
		s->database = s->user;
	return ST_OK;
}

static enum status read_cancel(const uint8_t *at, struct startup *s, const char **wrong,
                               const char **sqlstate)
{
	s->kind = STARTUP_CANCEL;
	if (s->size <= FIXED_PART + 4 || s->size > FIXED_PART + 4 + SECRET_MAX)
		return refuse(wrong, sqlstate, "invalid CancelRequest", "08P01");
	s->pid = wire_u32(at + 8);
	s->secret = at + 12;
	s->secret_size = s->size - 12;
	return ST_OK;
}

enum status startup_read(const uint8_t *at, size_t there, struct startup *s, const char **wrong,
                         const char **sqlstate)
{
	memset(s, 0, sizeof *s);
	if (there < 4)
		return ST_AGAIN;
	s->size = wire_u32(at);
	if (s->size < FIXED_PART || s->size > STARTUP_MAX)
		return refuse(wrong, sqlstate, "invalid length of startup packet", "08P01");
	if (there < s->size)
		return ST_AGAIN;
	switch (wire_u32(at + 4)) {
	case SSL_CODE:
		s->kind = STARTUP_SSL;
		return s->size == FIXED_PART
		               ? ST_OK
		               : refuse(wrong, sqlstate, "invalid SSLRequest", "08P01");
	case GSS_CODE:
		s->kind = STARTUP_GSS;
		return s->size == FIXED_PART
		               ? ST_OK
		               : refuse(wrong, sqlstate, "invalid GSSENCRequest", "08P01");
	case CANCEL_CODE:
		return read_cancel(at, s, wrong, sqlstate);
	default:
		return read_session(at, s, wrong, sqlstate);
	}
}
