/* fetch.c - see fetch.h.
 *
 *     IDLE -- fetch_start() --> RESOLVING --> TRANSFERRING --+
 *      ^                                                     |
 *      +-------------- answer, failure or deadline ----------+
 *
 * libcurl says which sockets and times it waits for; libev waits. What it tells inside of its own
 * calls is noted, and acted upon when they have returned. */
/* SPDX-License-Identifier: MIT */
#include "cluster/fetch.h"

#include "base/buffer.h"
#include "base/plain.h"
#include "cluster/alarms.h"
#include "cluster/resolver.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TICK 0.05 /* s, to libcurl's time once more: it ignores one that comes too early */

struct fetch {
	struct context *context;
	fetched_fn *fn;
	void *arg;
	CURLM *multi;
	CURL *easy;
	bool under_way;
	struct resolver_query *query;
	struct curl_slist *resolved; /* "host:port:addresses" */
	char *host_port;
	ev_timer deadline, timer;
	double timeout;
	struct buffer body;
	bool too_long;
	char error[CURL_ERROR_SIZE];
	char *ca;
};

struct watch {
	ev_io io;
	struct fetch *fetch;
};

static void settle(struct fetch *f);

static struct ev_loop *loop_of(const struct fetch *f)
{
	return f->context->loop;
}

/* Ends the fetch, then calls out: the callee may start the next one, or free it. */
static void finish(struct fetch *f, const char *reason)
{
	char why[CURL_ERROR_SIZE + 64];
	struct buffer body = f->body;
	f->body = (struct buffer){0};
	if (reason)
		snprintf(why, sizeof why, "%s", reason);
	fetch_cancel(f);
	if (reason)
		f->fn(NULL, 0, why, f->arg);
	else
		f->fn(body.bytes ? (const char *)buffer_data(&body) : "", buffer_size(&body), NULL,
		      f->arg);
	buffer_free(&body);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct fetch *f = timer->data;
	char reason[64];
	if (!f->easy && !f->query) { /* see fetch_start() */
		finish(f, f->error);
		return;
	}
	plain_print(reason, sizeof reason, "no answer within %g s", f->timeout);
	finish(f, reason);
}

static void act(struct fetch *f, curl_socket_t fd, int what)
{
	int running;
	curl_multi_socket_action(f->multi, fd, what, &running);
	settle(f);
}

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	const struct watch *w = io->data;
	act(w->fetch, io->fd,
	    (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct fetch *f = timer->data;
	(void)loop;
	(void)events;
	alarm_again(f->context, timer);
	act(f, CURL_SOCKET_TIMEOUT, 0);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	(void)easy;
	struct fetch *f = arg;
	struct watch *w = known;
	if (w)
		ev_io_stop(loop_of(f), &w->io);
	if (what == CURL_POLL_REMOVE) {
		free(w);
		return 0;
	}
	if (!w) {
		w = calloc(1, sizeof *w);
		if (!w)
			return -1;
		w->fetch = f;
		ev_init(&w->io, on_socket);
		w->io.data = w;
		curl_multi_assign(f->multi, fd, w);
	}
	ev_io_set(&w->io, fd,
	          (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(loop_of(f), &w->io);
	return 0;
}

static int watch_time(CURLM *multi, long ms, void *arg)
{
	(void)multi;
	struct fetch *f = arg;
	ev_timer_stop(loop_of(f), &f->timer);
	if (ms < 0)
		return 0;
	ev_timer_set(&f->timer, (double)ms / 1000, TICK);
	alarm_start(f->context, &f->timer);
	return 0;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *arg)
{
	(void)one;
	struct fetch *f = arg;
	f->too_long = buffer_size(&f->body) + size > FETCH_BODY;
	if (f->too_long || buffer_append(&f->body, bytes, size) != ST_OK)
		return 0;
	return size;
}

static void conclude(struct fetch *f, CURLcode result)
{
	char reason[64];
	long status = 0;
	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	if (f->too_long) {
		snprintf(reason, sizeof reason, "its answer has more than %u bytes", FETCH_BODY);
		finish(f, reason);
	} else if (result != CURLE_OK) {
		finish(f, *f->error ? f->error : curl_easy_strerror(result));
	} else if (status != 200) {
		snprintf(reason, sizeof reason, "it answered with HTTP status %ld", status);
		finish(f, reason);
	} else {
		finish(f, NULL);
	}
}

/* After libcurl has done something: whether it is through. */
static void settle(struct fetch *f)
{
	int left;
	const CURLMsg *message = curl_multi_info_read(f->multi, &left);
	if (message && message->msg == CURLMSG_DONE)
		conclude(f, message->data.result);
}

/* False: out of memory. */
static bool set_options(struct fetch *f)
{
	CURL *e = f->easy;
	return curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	       (!f->ca || (curl_easy_setopt(e, CURLOPT_CAINFO, f->ca) == CURLE_OK &&
	                   curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK)) &&
	       curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->error) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEDATA, (void *)f) == CURLE_OK;
}

static bool note_addresses(struct fetch *f, const char *addresses)
{
	size_t size = strlen(f->host_port) + strlen(addresses) + 2;
	char *entry = malloc(size);
	if (!entry)
		return false;
	snprintf(entry, size, "%s:%s", f->host_port, addresses);
	f->resolved = curl_slist_append(NULL, entry);
	free(entry);
	return f->resolved && curl_easy_setopt(f->easy, CURLOPT_RESOLVE, f->resolved) == CURLE_OK;
}

static void on_resolved(enum status status, const struct resolved *answer, void *arg)
{
	struct fetch *f = arg;
	f->query = NULL;
	if (status != ST_OK)
		finish(f, answer->reason);
	else if (!note_addresses(f, answer->addresses) ||
	         curl_multi_add_handle(f->multi, f->easy) != CURLM_OK)
		finish(f, "out of memory");
}

/* The part of a URL, to be freed by curl_free(); NULL: it has none, or there is no memory. */
static char *part(CURLU *parsed, CURLUPart which)
{
	char *text = NULL;
	curl_url_get(parsed, which, &text, CURLU_DEFAULT_PORT);
	return text;
}

/* NULL: `url` is none that can be fetched, and `*why` says why not. */
static CURLU *parse(const char *url, const char **why)
{
	*why = "out of memory";
	CURLU *parsed = curl_url();
	if (!parsed)
		return NULL;
	CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, 0);
	char *scheme = code == CURLUE_OK ? part(parsed, CURLUPART_SCHEME) : NULL;
	bool right =
	        scheme && (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
	curl_free(scheme);
	if (right)
		return parsed;
	if (code != CURLUE_OUT_OF_MEMORY)
		*why = code == CURLUE_OK ? "it is neither http:// nor https://"
		                         : curl_url_strerror(code);
	curl_url_cleanup(parsed);
	return NULL;
}

bool fetch_place(const char *url, char *place, size_t size)
{
	const char *why;
	CURLU *parsed = parse(url, &why);
	if (!parsed) {
		snprintf(place, size, "%s", why);
		return false;
	}
	char *host = part(parsed, CURLUPART_HOST), *port = part(parsed, CURLUPART_PORT);
	snprintf(place, size, "%s:%s", host ? host : "", port ? port : "");
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parsed);
	return true;
}

/* Whether it is under way; else f->error says why not. */
static bool begin(struct fetch *f, const char *url)
{
	char place[250], host[250];
	snprintf(f->error, sizeof f->error, "out of memory");
	if (!fetch_place(url, place, sizeof place)) {
		snprintf(f->error, sizeof f->error, "%s", place);
		return false;
	}
	f->easy = curl_easy_init();
	f->host_port = strdup(place);
	if (!f->easy || !f->host_port || !set_options(f) ||
	    curl_easy_setopt(f->easy, CURLOPT_URL, url) != CURLE_OK)
		return false;
	*f->error = '\0';
	if (*place == '[') /* an IPv6 address */
		return curl_multi_add_handle(f->multi, f->easy) == CURLM_OK;
	snprintf(host, sizeof host, "%s", place);
	*strrchr(host, ':') = '\0';
	f->query = resolver_start(f->context->resolver, host, on_resolved, f);
	return f->query != NULL;
}

static void free_easy(struct fetch *f)
{
	curl_easy_cleanup(f->easy);
	f->easy = NULL;
	curl_slist_free_all(f->resolved);
	f->resolved = NULL;
	free(f->host_port);
	f->host_port = NULL;
}

void fetch_start(struct fetch *f, const char *url, double timeout)
{
	f->timeout = timeout;
	f->under_way = true;
	f->too_long = false;
	if (!begin(f, url)) {
		if (!*f->error)
			snprintf(f->error, sizeof f->error, "out of memory");
		free_easy(f);
		timeout = 0; /* it is told from the loop */
	}
	ev_timer_set(&f->deadline, timeout, 0);
	alarm_start(f->context, &f->deadline);
}

void fetch_cancel(struct fetch *f)
{
	if (!f->under_way)
		return;
	f->under_way = false;
	resolver_cancel(f->query);
	f->query = NULL;
	if (f->easy)
		curl_multi_remove_handle(f->multi, f->easy);
	free_easy(f);
	ev_timer_stop(loop_of(f), &f->deadline);
	ev_timer_stop(loop_of(f), &f->timer);
	buffer_free(&f->body);
}

struct fetch *fetch_new(struct context *context, const char *ca, fetched_fn *fn, void *arg)
{
	struct fetch *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->context = context;
	f->fn = fn;
	f->arg = arg;
	ev_init(&f->deadline, on_deadline);
	ev_init(&f->timer, on_timer);
	f->deadline.data = f->timer.data = f;
	f->ca = ca ? strdup(ca) : NULL;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	f->multi = curl_multi_init();
	if (f->multi && (!ca || f->ca) &&
	    curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
	    curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, (void *)f) == CURLM_OK &&
	    curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, watch_time) == CURLM_OK &&
	    curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, (void *)f) == CURLM_OK)
		return f;
	fetch_free(f);
	return NULL;
}

void fetch_free(struct fetch *f)
{
	if (!f || !context_is_own(f->context)) /* curl would end the parent's TLS sessions */
		return;
	fetch_cancel(f);
	curl_multi_cleanup(f->multi);
	curl_global_cleanup();
	free(f->ca);
	free(f);
}
