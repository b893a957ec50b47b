/* facts.h - what is known of a statement from its text: what routes, pins and policies go by. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_FACTS_H
#define MOONGATE_SQL_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `write` is also the answer in doubt. */
enum intent { INTENT_READ, INTENT_WRITE };

/* What the statement is called in policies and in `moongate explain`: sql_kind_name(). */
enum sql_kind {
	SQL_EMPTY, /* nothing but white space and comments */
	SQL_SELECT,
	SQL_VALUES,
	SQL_INSERT,
	SQL_UPDATE,
	SQL_DELETE,
	SQL_MERGE,
	SQL_COPY,
	SQL_EXPLAIN,
	SQL_SHOW,
	SQL_SET,
	SQL_RESET,
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_SAVEPOINT,
	SQL_RELEASE,
	SQL_PREPARE_TRANSACTION,
	SQL_COMMIT_PREPARED,
	SQL_ROLLBACK_PREPARED,
	SQL_PREPARE,
	SQL_EXECUTE,
	SQL_DEALLOCATE,
	SQL_DECLARE,
	SQL_FETCH,
	SQL_CLOSE,
	SQL_LISTEN,
	SQL_UNLISTEN,
	SQL_NOTIFY,
	SQL_LOCK,
	SQL_DISCARD,
	SQL_CALL,
	SQL_DO,
	SQL_LOAD,
	SQL_CREATE,
	SQL_ALTER,
	SQL_DROP,
	SQL_TRUNCATE,
	SQL_UTILITY, /* any other command: VACUUM, GRANT, COMMENT, CHECKPOINT ... */
	SQL_MULTI,   /* several statements in one string */
	SQL_UNKNOWN, /* could not be parsed, or is beyond the limits */
	SQL_KINDS
};

/* What a statement leaves behind in its session that no other server can be given, so that its
 * client must keep its server. Settings are no such thing: see `settings`. */
enum pin {
	PIN_TEMP = 1u << 0,   /* temporary tables, views, sequences: they hide permanent ones */
	PIN_LISTEN = 1u << 1, /* LISTEN */
	PIN_ADVISORY_LOCK = 1u << 2, /* session-level advisory locks */
	PIN_CURSOR = 1u << 3,        /* WITH HOLD cursors */
	PIN_PREPARE = 1u << 4,       /* SQL-level PREPARE */
	PIN_LOAD = 1u << 5,          /* LOAD */
	PIN_SESSION = 1u << 6, /* other session state: setseed(), settings whose names the text does
	                          not tell, unknown commands */
};
#define PIN_KINDS 7

/* What else the statement does, beside its intent. */
enum sql_effect {
	EFFECT_BEGIN = 1u << 0, /* opens a transaction block */
	EFFECT_END = 1u << 1,   /* may end one: COMMIT, ROLLBACK (not TO), PREPARE TRANSACTION */
	/* Modes of BEGIN, START TRANSACTION and SET TRANSACTION: all that are named, where one
	 * takes back another, too. */
	EFFECT_READ_ONLY = 1u << 2,
	EFFECT_READ_WRITE = 1u << 3,    /* also where it may be either */
	EFFECT_SERIALIZABLE = 1u << 4,  /* a standby refuses it */
	EFFECT_LOCKING = 1u << 5,       /* FOR UPDATE, FOR SHARE ... at any depth */
	EFFECT_MODIFYING_CTE = 1u << 6, /* WITH x AS (INSERT | UPDATE | DELETE ...) */
	EFFECT_INTO = 1u << 7,          /* SELECT INTO, CREATE TABLE AS */
	EFFECT_EXPLAIN_ANALYZE = 1u << 8,
	EFFECT_COPY_IN = 1u << 9,       /* COPY ... FROM STDIN */
	EFFECT_COPY_OUT = 1u << 10,     /* COPY ... TO STDOUT */
	EFFECT_COPY_FILE = 1u << 11,    /* COPY from or to a file of the server's */
	EFFECT_COPY_PROGRAM = 1u << 12, /* COPY ... PROGRAM */
	EFFECT_DDL = 1u << 13,          /* changes the catalog: what is known of it is stale */
	EFFECT_UNPIN_ALL = 1u << 14,    /* DISCARD ALL */
	EFFECT_VOLATILE = 1u << 15, /* calls a function that writes, or is not known to be safe */
	EFFECT_NODE = 1u << 16,     /* names or acts on the node it runs on: pg_backend_pid() ... */
	EFFECT_RESET = 1u << 17,    /* RESET x, SET x TO DEFAULT: of those in `settings` */
	EFFECT_RESET_ALL = 1u << 18,  /* RESET ALL, DISCARD ALL */
	EFFECT_REPEATABLE = 1u << 19, /* a mode: ISOLATION LEVEL REPEATABLE READ */
	EFFECT_DEFERRABLE = 1u << 20, /* a mode */
	/* The text is one BEGIN, START TRANSACTION or SET TRANSACTION with modes: whoever answers
	 * it himself may send it later, ahead of what the block does first. */
	EFFECT_LAZY = 1u << 21,
	EFFECT_SAVEPOINT = 1u << 22, /* SAVEPOINT, RELEASE, ROLLBACK TO */
	EFFECT_CHAIN = 1u << 23,     /* COMMIT or ROLLBACK AND CHAIN: END and BEGIN in one */
	EFFECT_UNPINS = 1u << 24,    /* it may end what pins the session */
	/* It runs code that the text does not show: DO, CALL, EXECUTE, functions that are not
	 * PostgreSQL's own, a text that is not understood. That may pin, and change settings. */
	EFFECT_MAY_PIN = 1u << 25,
	EFFECT_SEQUENCE = 1u << 26,    /* currval(), lastval(): what nextval() said last, there */
	EFFECT_RESET_LOCAL = 1u << 27, /* SET LOCAL x TO DEFAULT */
};
#define EFFECTS_OF_HIDDEN_CODE (EFFECT_MAY_PIN | EFFECT_UNPINS)

/* Immutable once made. Lists of names are sorted, without repeats; `tables` and `functions` are
 * lower-cased as PostgreSQL folds them, schema-qualified where the text is ("public.t"). */
struct facts {
	enum intent intent;
	enum sql_kind kind;
	unsigned pins;        /* of enum pin */
	unsigned effects;     /* of enum sql_effect */
	unsigned statements;  /* how many the string holds; 0 where that is not known */
	uint64_t fingerprint; /* of the normalized text: equal for statements that differ in
	                         literals */
	const char *const *tables;
	size_t table_count;
	const char *const *functions;
	size_t function_count;
	/* Settings whose value may be another in this session from now on (hence not those of SET
	 * LOCAL and SET TRANSACTION), in lower case: "timezone", "app.tenant". */
	const char *const *settings;
	size_t setting_count;
	/* What a lone PREPARE, EXECUTE or DEALLOCATE names; NULL: none, or DEALLOCATE ALL. */
	const char *name;
	const char *reason; /* why the intent is `write`, for explain: a static string; NULL for a
	                       read */
};

/* One block that free() gives back. NULL: out of memory. */
struct facts *facts_copy(const struct facts *facts);

/* Whether it may change data: not all that the primary must have does (pg_backend_pid(), FOR
 * UPDATE, SET do not). */
bool facts_may_write(const struct facts *facts);

/* Whether it changes data beyond doubt: the intent is no mere precaution against a function, or a
 * text, that is not known. */
bool facts_writes_surely(const struct facts *facts);

/* Whether nothing that was prepared in the session is there afterwards: DISCARD ALL, DEALLOCATE
 * ALL.
 */
bool facts_forget_prepared(const struct facts *facts);

/* The pins, for whom settings cannot be given to another server, either. */
unsigned facts_pins_with_settings(const struct facts *facts);

/* "select", "create", "multi" ...: static strings in lower case, words parted by '_'. */
const char *sql_kind_name(enum sql_kind kind);

/* "temporary_table", "listen", "advisory_lock", "holdable_cursor", "prepare", "load",
 * "session_state" for one bit of enum pin. */
const char *sql_pin_name(enum pin pin);

#endif
