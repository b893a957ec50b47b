/* catalog_sql.h - what a database's catalog is asked for. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CATALOG_SQL_H
#define MOONGATE_CLUSTER_CATALOG_SQL_H

/* One row of one column, which is another as soon as anything has changed that the other question
 * is about. */
extern const char catalog_sql_digest[];

/* The columns of a struct catalog_row, in this order. At most CATALOG_ROWS + 1 rows. `version` is
 * PostgreSQL's, as PQserverVersion() has it. */
const char *catalog_sql_read(int version);

enum catalog_sql_column {
	CATALOG_SQL_KIND,
	CATALOG_SQL_SCHEMA,
	CATALOG_SQL_NAME,
	CATALOG_SQL_FLAGS,
	CATALOG_SQL_BODY,
	CATALOG_SQL_CALLED_KIND,
	CATALOG_SQL_CALLED_SCHEMA,
	CATALOG_SQL_CALLED_NAME,
	CATALOG_SQL_COLUMNS
};

#endif
