/* quota.c - see quota.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/quota.h"

#include "base/list.h"
#include "cluster/pool_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct named {
	UT_hash_handle hh;
	struct quota quota;
	unsigned members;
	char name[];
};

struct quotas {
	unsigned limit;
	struct named *all;
};

bool quota_yields(const struct claim *holder, const struct claim *other)
{
	bool fairer = other->servers == 0 || other->servers + 1 < holder->servers;
	return other->since + (fairer ? QUOTA_SLICE : QUOTA_PATIENCE) < holder->since;
}

unsigned quota_size(const struct pool_config *config, unsigned size, double waited)
{
	return config->reserve && waited >= config->reserve_after ? size + config->reserve : size;
}

double quota_lifetime(const struct pool_config *config, double chance)
{
	if (config->max_lifetime <= 0)
		return INFINITY;
	return config->max_lifetime * (1 - config->lifetime_jitter * chance);
}

struct quotas *quotas_new(unsigned limit)
{
	struct quotas *quotas = calloc(1, sizeof *quotas);
	if (quotas)
		quotas->limit = limit;
	return quotas;
}

static void drop(struct quotas *quotas, struct named *n)
{
	HASH_DEL(quotas->all, n); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
	free(n);
}

void quotas_free(struct quotas *quotas)
{
	struct named *each, *next;
	if (!quotas)
		return;
	HASH_ITER (hh, quotas->all, each, next)
		drop(quotas, each);
	free(quotas);
}

struct quota *quotas_join(struct quotas *quotas, const char *name)
{
	struct named *n = NULL;
	HASH_FIND_STR(quotas->all, name, n);
	if (!n) {
		size_t size = strlen(name) + 1;
		n = calloc(1, sizeof *n + size);
		if (!n)
			return NULL;
		n->quota.limit = quotas->limit;
		memcpy(n->name, name, size);
		HASH_ADD_STR(quotas->all, name, n);
	}
	n->members++;
	return &n->quota;
}

void quotas_leave(struct quotas *quotas, struct quota *quota)
{
	if (!quota)
		return;
	struct named *n = LIST_ENTRY(quota, struct named, quota);
	if (--n->members == 0)
		drop(quotas, n);
}

const char *quota_name(const struct quota *quota)
{
	return ((const struct named *)(const void *)((const char *)quota -
	                                             offsetof(struct named, quota)))
	        ->name;
}
