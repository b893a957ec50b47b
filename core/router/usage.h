/* usage.h - how the program is called, and complaints of how it was. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_USAGE_H
#define MOONGATE_ROUTER_USAGE_H

#define EXIT_USAGE 2

void usage_print(void);

/* Both return EXIT_USAGE. The first shows how it is called; `name` may be NULL. The second does
 * not, for what is wrong is clear. */
int usage_complain(const char *what, const char *name);
int usage_refuse(const char *what);

/* The one argument that getopt has left, or NULL with a complaint. */
const char *usage_script(int argc, char **argv);

#endif
