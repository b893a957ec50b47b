/* post.c - see post.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/post.h"

#include "base/buffer.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POST_BODY (1u << 20) /* bytes that an answer may have */

static size_t on_body(char *bytes, size_t one, size_t size, void *arg)
{
	(void)one;
	struct buffer *body = arg;
	if (buffer_size(body) + size > POST_BODY || buffer_append(body, bytes, size) != ST_OK)
		return 0;
	return size;
}

static bool set_options(CURL *e, const char *url, double timeout, struct buffer *body, char *error)
{
	return curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(timeout * 1000)) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_POSTFIELDS, "") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_ERRORBUFFER, error) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEDATA, (void *)body) == CURLE_OK;
}

static char *take_text(struct buffer *body)
{
	if (buffer_append(body, "", 1) != ST_OK)
		return NULL;
	char *text = malloc(buffer_size(body));
	if (text)
		memcpy(text, buffer_data(body), buffer_size(body));
	return text;
}

bool post(const char *url, double timeout, struct post_answer *answer, char *wrong,
          size_t wrong_size)
{
	struct buffer body = {0};
	char error[CURL_ERROR_SIZE] = "";
	CURL *e = curl_easy_init();
	CURLcode code = CURLE_OUT_OF_MEMORY;
	*answer = (struct post_answer){.body = NULL};
	if (e && set_options(e, url, timeout, &body, error))
		code = curl_easy_perform(e);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &answer->status);
	if (code == CURLE_OK)
		answer->body = take_text(&body);
	if (!answer->body)
		snprintf(wrong, wrong_size, "%s",
		         *error             ? error
		         : code == CURLE_OK ? "out of memory"
		                            : curl_easy_strerror(code));
	buffer_free(&body);
	curl_easy_cleanup(e);
	return answer->body;
}
