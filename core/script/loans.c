/* loans.c - see loans.h. */
/* SPDX-License-Identifier: MIT */
#include "script/loans.h"

#include "cluster/cluster.h"

#include <stdio.h>
#include <string.h>

static void give_back(struct loan *loan, bool reusable)
{
	struct server *server = loan->server;
	list_remove(&loan->link);
	loan->server = NULL;
	if (loan->lent)
		--*loan->lent;
	pool_release(server, reusable);
}

void loan_lose(struct loan *loan, const char *why)
{
	struct endpoint *endpoint = loan->server->endpoint;
	snprintf(loan->lost, sizeof loan->lost, "%s: %.*s", endpoint->name, (int)strcspn(why, "\n"),
	         why);
	const PGconn *conn = loan->server->conn; /* NULL: it was given up, which is no failure */
	bool broken = conn && PQstatus(conn) == CONNECTION_BAD;
	give_back(loan, false);
	if (broken)
		endpoint_lost(endpoint);
}

/* Between statements a server has little to say: settings, notices, notifications that nobody here
 * asked for, or that it ends. */
static void on_loan_event(struct server *server, int events)
{
	struct loan *loan = server->holder;
	(void)events;
	/* Twice: a farewell may be there, and behind it the end. */
	for (int i = 0; i < 2; i++)
		if (!PQconsumeInput(server->conn)) {
			loan_lose(loan, PQerrorMessage(server->conn));
			return;
		}
	for (PGnotify *n = PQnotifies(server->conn); n; n = PQnotifies(server->conn))
		PQfreemem(n);
}

void loan_begin(struct loan *loan, struct list *loans, unsigned *lent, struct server *server)
{
	*loan = (struct loan){.server = server, .lent = lent};
	if (lent)
		++*lent;
	list_push_back(loans, &loan->link);
	loan_watch(loan);
}

void loan_watch(struct loan *loan)
{
	server_hold(loan->server, on_loan_event, loan);
}

void loan_end(struct loan *loan)
{
	if (!loan->server)
		return;
	const PGconn *conn = loan->server->conn;
	give_back(loan, loan->pins == 0 && context_is_own(loan->server->context) &&
	                        PQstatus(conn) == CONNECTION_OK &&
	                        PQtransactionStatus(conn) == PQTRANS_IDLE);
}

void loans_end(struct list *loans)
{
	while (!list_empty(loans))
		give_back(LIST_ENTRY(loans->next, struct loan, link), false);
}
