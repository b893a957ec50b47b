/* admin.c - see admin.h. */
/* SPDX-License-Identifier: MIT */
#include "router/admin.h"

#include "router/address.h"
#include "router/admin_pages.h"
#include "router/json.h"
#include "router/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct admin {
	struct list link; /* retired: in worker->retired_admins */
	struct worker *worker;
	struct http *http;
};

/* GET pages answer HEAD, too. */
static const struct page {
	const char *method, *path;
	admin_page *answer;
} pages[] = {
        {"GET", "/health", admin_health},
        {"GET", "/ready", admin_ready},
        {"GET", "/live", admin_live},
        {"GET", "/metrics", admin_metrics},
        {"GET", "/policy", admin_policy},
        {"POST", "/reload", admin_reload},
        {"POST", "/pause", admin_pause},
        {"POST", "/resume", admin_resume},
        {"POST", "/drain", admin_drain},
        {"POST", "/undrain", admin_undrain},
        {"GET", "/statements", admin_statements},
};
#define PAGES (sizeof pages / sizeof *pages)

void admin_say(struct http_response *r, unsigned status, const char *key, const char *text)
{
	r->status = status;
	fprintf(r->body, "{\"%s\":", key);
	json_put_string(r->body, text, strlen(text));
	fputs("}\n", r->body);
}

void admin_reload(struct worker *w, const struct http_request *q, struct http_response *r)
{
	(void)q;
	if (!reload(w)) {
		admin_say(r, 422, "error", w->reloads.error);
		return;
	}
	const struct adoption *sum = &w->reloads.last;
	fprintf(r->body,
	        "{\"reloaded\":true,\"endpoints\":{\"kept\":%zu,\"added\":%zu,\"removed\":%zu}}\n",
	        sum->kept, sum->added, sum->removed);
}

static void say_what_there_is(const struct http_request *q, struct http_response *r)
{
	r->status = 404;
	fputs("{\"error\":\"there is no such page\",\"path\":", r->body);
	json_put_string(r->body, q->path, strlen(q->path));
	fputs(",\"pages\":[", r->body);
	for (size_t i = 0; i < PAGES; i++)
		fprintf(r->body, "%s\"%s %s\"", i ? "," : "", pages[i].method, pages[i].path);
	fputs("]}\n", r->body);
}

static bool is_read(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* A browser says which site has sent it, and none has any business here. */
static bool is_from_a_site(const struct http_request *q)
{
	return http_header(q, "Origin") != NULL;
}

static void answer(const struct http_request *q, struct http_response *r, void *arg)
{
	const struct admin *admin = arg;
	const struct page *page = NULL;
	for (size_t i = 0; i < PAGES && !page; i++)
		if (strcmp(pages[i].path, q->path) == 0)
			page = &pages[i];
	if (!page) {
		say_what_there_is(q, r);
		return;
	}
	bool reads = strcmp(page->method, "GET") == 0;
	if (reads ? !is_read(q->method) : strcmp(q->method, "POST") != 0) {
		r->allow = reads ? "GET, HEAD" : "POST";
		admin_say(r, 405, "error", reads ? "this page takes GET" : "this page takes POST");
		return;
	}
	if (!reads && is_from_a_site(q)) {
		admin_say(r, 403, "error", "not for web pages");
		return;
	}
	page->answer(admin->worker, q, r);
}

struct admin *admin_new(struct worker *worker, const char *address, char *error, size_t error_size)
{
	const struct log *log = &worker->context.log;
	char where[ADDRESS_TEXT] = "";
	struct admin *a = calloc(1, sizeof *a);
	int fd = a ? address_listen(address, error, error_size) : -1;
	if (!a || fd < 0) {
		if (!a)
			snprintf(error, error_size, "out of memory");
		free(a);
		return NULL;
	}
	list_init(&a->link);
	a->worker = worker;
	address_of(fd, where);
	if (!address_is_loopback(fd))
		log_warn(log,
		         "admin: others than this machine may reach it, and nobody is asked who "
		         "they are",
		         LOG_T("address", where));
	a->http = http_new(worker->context.loop, fd, answer, a);
	if (!a->http) {
		snprintf(error, error_size, "out of memory");
		free(a);
		return NULL;
	}
	log_info(log, "admin: listening", LOG_T("address", where));
	return a;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	http_free(a->http);
	free(a);
}

static void end_retired(void *arg)
{
	struct admin *a = arg;
	list_remove(&a->link);
	free(a);
}

void admin_retire(struct admin *a)
{
	if (!a)
		return;
	list_push_back(&a->worker->retired_admins, &a->link);
	http_retire(a->http, end_retired);
}

void admin_stop(struct worker *w)
{
	admin_free(w->admin);
	w->admin = NULL;
	LIST_EACH (&w->retired_admins, link)
		http_free(LIST_ENTRY(link, struct admin, link)->http);
}
