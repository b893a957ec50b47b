/* known.c - tables of names; looked at on a miss of the cache only, hence searched from the top. */
/* SPDX-License-Identifier: MIT */
#include "sql/known.h"

#include "sql/builtin_functions.h"
#include "sql/facts.h"

#include <string.h>

/* Names that end in '*' stand for all that begin so. */
struct function_names {
	const char *const *names;
	struct known_function known;
};

static bool matches(const char *name, const char *pattern)
{
	size_t size = strlen(pattern);
	if (pattern[size - 1] == '*')
		return strncmp(name, pattern, size - 1) == 0;
	return strcmp(name, pattern) == 0;
}

static bool among(const char *name, const char *const *patterns)
{
	for (; *patterns; patterns++)
		if (matches(name, *patterns))
			return true;
	return false;
}

static bool is_catalog(const char *schema)
{
	return !schema || strcmp(schema, "pg_catalog") == 0;
}

static const char *const session_locks[] = {"pg_advisory_lock", "pg_advisory_lock_shared",
                                            "pg_try_advisory_lock", "pg_try_advisory_lock_shared",
                                            NULL};

/* State that the session keeps, and that another server knows nothing of. */
static const char *const session_state[] = {"setseed",
                                            "pg_backup_start",
                                            "pg_backup_stop",
                                            "pg_start_backup",
                                            "pg_stop_backup",
                                            "pg_replication_origin_session_*",
                                            NULL};

/* What nextval() said last, in whatever session. */
static const char *const sequence_state[] = {"currval", "lastval", NULL};

static const char *const session_unlocks[] = {"pg_advisory_unlock*", NULL};

static const char *const writers[] = {"nextval",
                                      "setval",
                                      "pg_advisory_*",
                                      "pg_try_advisory_*",
                                      "pg_notify",
                                      "txid_current*",
                                      "pg_current_xact_id*",
                                      "pg_current_snapshot",
                                      "pg_export_snapshot",
                                      "lo_*",
                                      "lowrite",
                                      "loread",
                                      "brin_*",
                                      "gin_clean_pending_list",
                                      "pg_logical_emit_message",
                                      "pg_create_restore_point",
                                      "pg_replication_origin_*",
                                      NULL};

static const char *const sql_runners[] = {
        "query_to_xml*",    "cursor_to_xml*", "table_to_xml*", "schema_to_xml*",
        "database_to_xml*", "ts_stat",        "ts_rewrite",    NULL};

static const char *const node_functions[] = {"pg_backend_pid",
                                             "pg_is_in_recovery",
                                             "pg_is_wal_replay_paused",
                                             "inet_client_*",
                                             "inet_server_*",
                                             "pg_stat_*",
                                             "pg_last_*",
                                             "pg_current_wal_*",
                                             "pg_current_logfile",
                                             "pg_walfile_*",
                                             "pg_switch_wal",
                                             "pg_wal_replay_*",
                                             "pg_get_wal_replay_pause_state",
                                             "pg_promote",
                                             "pg_terminate_backend",
                                             "pg_cancel_backend",
                                             "pg_reload_conf",
                                             "pg_rotate_logfile*",
                                             "pg_log_*",
                                             "pg_logical_slot_*",
                                             "pg_replication_slot_*",
                                             "pg_create_logical_*",
                                             "pg_create_physical_*",
                                             "pg_copy_*",
                                             "pg_drop_replication_slot",
                                             "pg_get_replication_slots",
                                             "pg_show_*",
                                             "pg_conf_load_time",
                                             "pg_postmaster_start_time",
                                             "pg_config",
                                             "pg_control_*",
                                             "pg_cursor",
                                             "pg_prepared_*",
                                             "pg_listening_channels",
                                             "pg_notification_queue_usage",
                                             "pg_blocking_pids",
                                             "pg_safe_snapshot_blocking_pids",
                                             "pg_lock_status",
                                             "pg_available_extension*",
                                             "pg_extension_update_paths",
                                             "pg_tablespace_location",
                                             "pg_tablespace_databases",
                                             "pg_ls_*",
                                             "pg_read_*",
                                             "pg_hba_file_rules",
                                             "pg_ident_file_mappings",
                                             "pg_get_shmem_allocations",
                                             "pg_get_backend_memory_contexts",
                                             "pg_jit_available",
                                             "pg_collation_actual_version",
                                             "pg_database_collation_actual_version",
                                             NULL};

static const char *const dblink_sessions[] = {"dblink_connect", "dblink_connect_u", NULL};

static const struct function_names functions[] = {
        {session_locks,
         {.pins = PIN_ADVISORY_LOCK,
          .effects = EFFECT_VOLATILE,
          .reason = "takes a session-level advisory lock"}},
        {session_state,
         {.pins = PIN_SESSION,
          .effects = EFFECT_VOLATILE,
          .reason = "calls a function that depends on the session's state"}},
        {sequence_state,
         {.effects = EFFECT_VOLATILE | EFFECT_SEQUENCE,
          .reason = "calls a function that depends on the session's state"}},
        {session_unlocks,
         {.effects = EFFECT_VOLATILE | EFFECT_UNPINS,
          .reason = "releases a session-level advisory lock"}},
        {writers, {.effects = EFFECT_VOLATILE, .reason = "calls a function that writes"}},
        {sql_runners,
         {.effects = EFFECT_VOLATILE | EFFECTS_OF_HIDDEN_CODE,
          .reason = "calls a function that runs SQL given as text"}},
        {node_functions,
         {.effects = EFFECT_NODE, .reason = "calls a function that names the node, or acts on it"}},
};

#define FUNCTION_GROUPS (sizeof(functions) / sizeof(functions[0]))

struct known_function known_function(const char *schema, const char *name)
{
	static const struct known_function reads = {.reason = NULL},
	                                   unknown = {.effects = EFFECT_VOLATILE |
	                                                         EFFECTS_OF_HIDDEN_CODE,
	                                              .unknown = true,
	                                              .reason =
	                                                      "calls a function that is not known "
	                                                      "to only read"};
	struct known_function known = unknown;
	/* Drivers use them to take index columns apart; all are IMMUTABLE or STABLE. */
	if (schema && strcmp(schema, "information_schema") == 0)
		return reads;
	if (is_catalog(schema)) {
		if (builtin_function_is_safe(name))
			return reads;
		for (size_t i = 0; i < FUNCTION_GROUPS; i++)
			if (among(name, functions[i].names))
				return functions[i].known;
	}
	if (among(name, dblink_sessions))
		known.pins |= PIN_SESSION;
	if (known_temp_schema(schema))
		known.pins |= PIN_TEMP;
	return known;
}

unsigned known_function_pins(const char *name)
{
	unsigned pins = among(name, dblink_sessions) ? PIN_SESSION : 0;
	for (size_t i = 0; i < FUNCTION_GROUPS; i++)
		if (functions[i].known.pins && among(name, functions[i].names))
			pins |= functions[i].known.pins;
	return pins;
}

bool known_node_relation(const char *schema, const char *name)
{
	/* pg_sequences reads sequences, whose values run ahead on a replica. */
	static const char *const relations[] = {"pg_stat_*",
	                                        "pg_statio_*",
	                                        "pg_locks",
	                                        "pg_settings",
	                                        "pg_file_settings",
	                                        "pg_hba_file_rules",
	                                        "pg_ident_file_mappings",
	                                        "pg_cursors",
	                                        "pg_prepared_statements",
	                                        "pg_prepared_xacts",
	                                        "pg_replication_slots",
	                                        "pg_replication_origin_status",
	                                        "pg_backend_memory_contexts",
	                                        "pg_shmem_allocations",
	                                        "pg_config",
	                                        "pg_available_extension*",
	                                        "pg_sequences",
	                                        NULL};
	return is_catalog(schema) && among(name, relations);
}

bool known_node_setting(const char *name)
{
	static const char *const settings[] = {"all",
	                                       "archive_*",
	                                       "bonjour*",
	                                       "cluster_name",
	                                       "config_file",
	                                       "data_directory",
	                                       "default_transaction_read_only",
	                                       "event_source",
	                                       "external_pid_file",
	                                       "hba_file",
	                                       "hot_standby*",
	                                       "ident_file",
	                                       "in_hot_standby",
	                                       "listen_addresses",
	                                       "log_directory",
	                                       "log_filename",
	                                       "port",
	                                       "primary_*",
	                                       "promote_trigger_file",
	                                       "recovery_*",
	                                       "restore_command",
	                                       "ssl_*",
	                                       "synchronous_standby_names",
	                                       "transaction_read_only",
	                                       "unix_socket_*",
	                                       NULL};
	return among(name, settings);
}

bool known_temp_schema(const char *schema)
{
	return schema && (strcmp(schema, "pg_temp") == 0 || strncmp(schema, "pg_temp_", 8) == 0 ||
	                  strncmp(schema, "pg_toast_temp_", 14) == 0);
}
