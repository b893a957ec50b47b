/* places.c - see places.h. */
/* SPDX-License-Identifier: MIT */
#include "api/places.h"

#include "moongate.h"

#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

/* PREFIX/lib/libmoongate.so has them in PREFIX/share; build/lib/libmoongate.so in the checkout. So
 * has a program that the archive is linked into, from its own folder. */
const char *places_lua_path(char *path)
{
	char file[PATH_MAX], probe[PATH_MAX + 64];
	Dl_info info;
	if (!dladdr((const void *)moongate_version, &info) || !info.dli_fname)
		info.dli_fname = "";
	snprintf(file, sizeof file, "%s", info.dli_fname);
	const char *folder = dirname(file), *place = "../share/lua/5.4";
	snprintf(probe, sizeof probe, "%s/../../lua/moongate/init.lua", folder);
	if (access(probe, R_OK) == 0)
		place = "../../lua";
	snprintf(path, PLACES_SIZE, "%s/%s/?.lua;%s/%s/?/init.lua", folder, place, folder, place);
	return path;
}
