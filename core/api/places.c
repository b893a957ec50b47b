/* places.c - see places.h. */
/* SPDX-License-Identifier: MIT */
#include "api/places.h"

#include "moongate.h"

#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

/* From the folder of the library: installed, installed where folders are named after machines, and
 * in the checkout's build/lib. From the folder of a program that has the archive in it: PREFIX/bin.
 */
static const char *const places[] = {"../share/lua/5.4", "../../share/lua/5.4", "../../lua"};
#define PLACES (sizeof places / sizeof *places)

const char *places_lua_path(char *path)
{
	char file[PATH_MAX], probe[PATH_MAX + 64];
	Dl_info info;
	if (!dladdr((const void *)moongate_version, &info) || !info.dli_fname)
		info.dli_fname = "";
	snprintf(file, sizeof file, "%s", info.dli_fname);
	const char *folder = dirname(file), *place = places[0];
	for (size_t i = 0; i < PLACES; i++) {
		snprintf(probe, sizeof probe, "%s/%s/moongate/init.lua", folder, places[i]);
		if (access(probe, R_OK) != 0)
			continue;
		place = places[i];
		break;
	}
	snprintf(path, PLACES_SIZE, "%s/%s/?.lua;%s/%s/?/init.lua", folder, place, folder, place);
	return path;
}
