/* fault_proxy.c - a TCP proxy between the router and one endpoint that makes the network fail.
 *
 *   fault_proxy LISTEN_PORT TARGET_PORT        both on 127.0.0.1
 *
 * Commands come by standard input, a line each; every one is answered by a line. `up` is towards
 * the target, `down` back from it.
 *
 *   fault ACTION DIRECTION BYTE [COUNT]  the next COUNT connections (1; 0: all) suffer ACTION when
 *                                 exactly BYTE bytes have passed in DIRECTION; faults queue up:
 *                                   drop   both sides see an orderly end
 *                                   reset  both sides get RST
 *                                   hole   nothing passes any more, either way, until `heal`
 *                                   stall  the same in this direction only
 *   now ACTION                    the same for all connections that there are (stall: down)
 *   delay MILLISECONDS            each byte that is read from now on arrives later, either way
 *   refuse                        new connections are refused
 *   silence                       new connections are accepted, and nothing passes, until `heal`
 *   heal                          none of all that for what is new; holes and stalls go on
 *   stat                          accepted N open N struck N up N down N: of the last connection
 *
 * It ends when its standard input does.
 */
/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 1024
#define FAULTS      256 /* armed at once */
#define CHUNK       16384
#define QUEUE_LIMIT (1 << 20) /* bytes under way in one direction; then nothing more is read */

enum action { NONE, DROP, RESET, HOLE, STALL };
enum direction { UP, DOWN };

/* Bytes that were read and are due later. */
struct chunk {
	struct chunk *next;
	double due;
	size_t size, sent;
	char bytes[];
};

/* One direction of a connection. */
struct flow {
	int from, to;
	struct chunk *first, **last;
	size_t queued;
	uint64_t passed;
	bool stalled, ended, told; /* `from` has ended; `to` was told */
};

struct fault {
	enum action action;
	enum direction direction;
	uint64_t byte;
	unsigned times; /* how many connections it strikes yet; 0: all */
};

struct connection {
	int client, server;
	bool dropped; /* both ends were told; the rest is thrown away */
	struct fault fault;
	struct flow flows[2];
};

struct proxy {
	int listener, port, target;
	double delay; /* s */
	bool silent;
	size_t fault_count;
	struct fault faults[FAULTS]; /* for the next connections */
	unsigned long accepted, struck;
	uint64_t last_passed[2];
	size_t count;
	struct connection *connections[CONNECTIONS];
	char line[256];
	size_t line_size;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
	                            .sin_port = htons((uint16_t)port),
	                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(int port)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in address = loopback(port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0) {
		perror("fault_proxy: listen");
		exit(1);
	}
	return fd;
}

static void flow_init(struct flow *f, int from, int to)
{
	int one = 1;
	setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	*f = (struct flow){.from = from, .to = to};
	f->last = &f->first;
}

static void flow_free(struct flow *f)
{
	while (f->first) {
		struct chunk *next = f->first->next;
		free(f->first);
		f->first = next;
	}
	f->last = &f->first;
	f->queued = 0;
}

static void linger_never(int fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static void connection_close(struct proxy *p, size_t index)
{
	struct connection *c = p->connections[index];
	flow_free(&c->flows[UP]);
	flow_free(&c->flows[DOWN]);
	close(c->client);
	close(c->server);
	free(c);
	p->connections[index] = p->connections[--p->count];
}

/* What the action does to the connection. True: it is over, to be closed now. */
static bool strike(struct connection *c, enum action action, enum direction direction)
{
	switch (action) {
	case DROP:
		flow_free(&c->flows[UP]);
		flow_free(&c->flows[DOWN]);
		shutdown(c->client, SHUT_WR);
		shutdown(c->server, SHUT_WR);
		c->flows[UP].told = c->flows[DOWN].told = true;
		c->dropped = true;
		return false;
	case RESET:
		linger_never(c->client);
		linger_never(c->server);
		return true;
	case HOLE:
		c->flows[UP].stalled = c->flows[DOWN].stalled = true;
		return false;
	case STALL:
		c->flows[direction].stalled = true;
		return false;
	default:
		return false;
	}
}

static int connect_to(int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The fault that was armed first goes to this connection. */
static struct fault take_fault(struct proxy *p)
{
	struct fault *first = p->faults, fault = *first;
	if (p->fault_count == 0)
		return (struct fault){.action = NONE};
	if (first->times && --first->times == 0)
		memmove(first, first + 1, --p->fault_count * sizeof *first);
	return fault;
}

static void accept_one(struct proxy *p)
{
	int client = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK);
	if (client < 0)
		return;
	struct connection *c = p->count < CONNECTIONS ? calloc(1, sizeof *c) : NULL;
	int server = c ? connect_to(p->target) : -1;
	if (server < 0) {
		linger_never(client);
		close(client);
		free(c);
		return;
	}
	c->client = client;
	c->server = server;
	flow_init(&c->flows[UP], client, server);
	flow_init(&c->flows[DOWN], server, client);
	c->flows[UP].stalled = c->flows[DOWN].stalled = p->silent;
	c->fault = take_fault(p);
	p->accepted++;
	p->last_passed[UP] = p->last_passed[DOWN] = 0;
	p->connections[p->count++] = c;
}

/* False: the connection is broken. */
static bool flow_read(const struct proxy *p, struct flow *f)
{
	struct chunk *chunk = malloc(sizeof *chunk + CHUNK);
	if (!chunk)
		return false;
	ssize_t size = read(f->from, chunk->bytes, CHUNK);
	if (size <= 0) {
		bool broken = size < 0 && errno != EAGAIN && errno != EINTR;
		f->ended = size == 0;
		free(chunk);
		return !broken;
	}
	*chunk = (struct chunk){.size = (size_t)size, .due = now() + p->delay};
	f->queued += chunk->size;
	*f->last = chunk;
	f->last = &chunk->next;
	return true;
}

/* Whether the connection's fault is due in this direction. */
static bool fault_is_due(const struct connection *c, enum direction d)
{
	return c->fault.action && c->fault.direction == d && c->flows[d].passed == c->fault.byte;
}

/* Writes what is due, up to the fault's byte. False: the connection is broken. */
static bool flow_write(struct connection *c, enum direction d, double time)
{
	struct flow *f = &c->flows[d];
	while (f->first && f->first->due <= time && !fault_is_due(c, d)) {
		struct chunk *chunk = f->first;
		size_t size = chunk->size - chunk->sent;
		uint64_t left = c->fault.byte - f->passed;
		if (c->fault.action && c->fault.direction == d && c->fault.byte > f->passed &&
		    size > left)
			size = left;
		ssize_t sent = send(f->to, chunk->bytes + chunk->sent, size, MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EAGAIN || errno == ENOTCONN || errno == EINTR;
		chunk->sent += (size_t)sent;
		f->passed += (size_t)sent;
		f->queued -= (size_t)sent;
		if (chunk->sent < chunk->size)
			continue;
		f->first = chunk->next;
		if (!f->first)
			f->last = &f->first;
		free(chunk);
	}
	return true;
}

/* Moves what can be moved. False: the connection is over. */
static bool turn(struct proxy *p, struct connection *c, enum direction d, double time)
{
	struct flow *f = &c->flows[d];
	if (!flow_write(c, d, time))
		return false;
	p->last_passed[d] = c == p->connections[p->count - 1] ? f->passed : p->last_passed[d];
	if (fault_is_due(c, d)) {
		enum action action = c->fault.action;
		c->fault.action = NONE;
		p->struck++;
		return !strike(c, action, d);
	}
	if (f->ended && !f->first && !f->told) {
		shutdown(f->to, SHUT_WR);
		f->told = true;
	}
	return true;
}

static bool over(const struct connection *c)
{
	return c->flows[UP].told && c->flows[DOWN].told && c->flows[UP].ended &&
	       c->flows[DOWN].ended;
}

static short wanted(const struct flow *in, const struct flow *out, double time)
{
	short events = 0;
	if (!in->stalled && !in->ended && in->queued < QUEUE_LIMIT)
		events |= POLLIN;
	if (!out->stalled && out->first && out->first->due <= time)
		events |= POLLOUT;
	return events;
}

/* A socket of which nothing is wanted is left out: poll() would tell of its end for ever. */
static struct pollfd watch(int fd, short events)
{
	return (struct pollfd){.fd = events ? fd : -1, .events = events};
}

/* Reads the flow if poll() says so. False: the connection is broken. */
static bool serve_flow(struct proxy *p, struct connection *c, enum direction d, short events,
                       double time)
{
	struct flow *f = &c->flows[d];
	if (f->stalled)
		return true;
	if (events & (POLLIN | POLLHUP | POLLERR) && !f->ended && !flow_read(p, f))
		return false;
	if (c->dropped) {
		flow_free(f);
		return true;
	}
	return turn(p, c, d, time);
}

/* An end that is broken breaks the other one: it gets RST, too. */
static void serve(struct proxy *p, const struct pollfd *polled, size_t count)
{
	double time = now();
	for (size_t i = count; i-- > 0;) {
		struct connection *c = p->connections[i];
		bool alive = serve_flow(p, c, UP, polled[2 * i].revents, time) &&
		             serve_flow(p, c, DOWN, polled[2 * i + 1].revents, time);
		if (!alive)
			strike(c, RESET, UP);
		if (!alive || over(c))
			connection_close(p, i);
	}
}

static enum action action_named(const char *name)
{
	static const char *const names[] = {"none", "drop", "reset", "hole", "stall"};
	for (enum action a = DROP; a <= STALL; a++)
		if (strcmp(name, names[a]) == 0)
			return a;
	return NONE;
}

static const char *arm(struct proxy *p, const char *arguments)
{
	char action[16], direction[16];
	unsigned long byte = 0;
	unsigned times = 1;
	if (sscanf(arguments, "%15s %15s %lu %u", action, direction, &byte, &times) < 3)
		return "error: fault ACTION up|down BYTE [COUNT]";
	const struct fault fault = {.action = action_named(action),
	                            .direction = strcmp(direction, "up") == 0 ? UP : DOWN,
	                            .byte = byte,
	                            .times = times};
	if (!fault.action || p->fault_count == FAULTS)
		return "error: no such action, or too many";
	p->faults[p->fault_count++] = fault;
	return "ok";
}

static const char *strike_all(struct proxy *p, const char *name)
{
	enum action action = action_named(name);
	for (size_t i = p->count; i-- > 0;) {
		p->struck++;
		if (strike(p->connections[i], action, DOWN))
			connection_close(p, i);
	}
	return action ? "ok" : "error: there is no such action";
}

static void refuse(struct proxy *p)
{
	if (p->listener >= 0)
		close(p->listener);
	p->listener = -1;
}

static void heal(struct proxy *p)
{
	p->fault_count = 0;
	p->delay = 0;
	p->silent = false;
	if (p->listener < 0)
		p->listener = listen_on(p->port);
	for (size_t i = 0; i < p->count; i++)
		for (int d = UP; d <= DOWN; d++)
			p->connections[i]->flows[d].stalled = false;
}

static const char *obey(struct proxy *p, char *line, char *answer, size_t size)
{
	char *rest = strchr(line, ' ');
	if (rest)
		*rest++ = '\0';
	if (strcmp(line, "fault") == 0 && rest)
		return arm(p, rest);
	if (strcmp(line, "now") == 0 && rest)
		return strike_all(p, rest);
	if (strcmp(line, "delay") == 0 && rest)
		return p->delay = strtod(rest, NULL) / 1000, "ok";
	if (strcmp(line, "silence") == 0)
		return p->silent = true, "ok";
	if (strcmp(line, "refuse") == 0)
		return refuse(p), "ok";
	if (strcmp(line, "heal") == 0)
		return heal(p), "ok";
	if (strcmp(line, "stat") != 0)
		return "error: no such command";
	snprintf(answer, size, "accepted %lu open %zu struck %lu up %lu down %lu", p->accepted,
	         p->count, p->struck, p->last_passed[UP], p->last_passed[DOWN]);
	return answer;
}

static void read_commands(struct proxy *p)
{
	ssize_t size = read(STDIN_FILENO, p->line + p->line_size, sizeof p->line - p->line_size);
	if (size <= 0)
		exit(0);
	p->line_size += (size_t)size;
	char *end;
	while ((end = memchr(p->line, '\n', p->line_size))) {
		char answer[128];
		*end = '\0';
		printf("%s\n", obey(p, p->line, answer, sizeof answer));
		fflush(stdout);
		p->line_size -= (size_t)(end + 1 - p->line);
		memmove(p->line, end + 1, p->line_size);
	}
}

/* Milliseconds until the next delayed chunk is due, rounded up; -1: none is. */
static int timeout_until(double next, double time)
{
	return next == INFINITY ? -1 : (int)(fmax(0, next - time) * 1000) + 1;
}

static void loop_once(struct proxy *p)
{
	static struct pollfd polled[2 * CONNECTIONS + 2];
	double time = now(), next = INFINITY;
	size_t count = p->count;
	for (size_t i = 0; i < count; i++) {
		struct connection *c = p->connections[i];
		struct flow *up = &c->flows[UP], *down = &c->flows[DOWN];
		polled[2 * i] = watch(c->client, wanted(up, down, time));
		polled[2 * i + 1] = watch(c->server, wanted(down, up, time));
		if (!up->stalled && up->first)
			next = fmin(next, up->first->due);
		if (!down->stalled && down->first)
			next = fmin(next, down->first->due);
	}
	struct pollfd *commands = &polled[2 * count], *listener = commands + 1;
	*commands = watch(STDIN_FILENO, POLLIN);
	*listener = watch(p->listener, POLLIN);
	if (poll(polled, 2 * count + 2, timeout_until(next, time)) < 0)
		return;
	serve(p, polled, count);
	if (listener->revents & POLLIN)
		accept_one(p);
	if (commands->revents)
		read_commands(p);
}

int main(int argc, char **argv)
{
	static struct proxy proxy;
	if (argc != 3) {
		fprintf(stderr, "usage: fault_proxy LISTEN_PORT TARGET_PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	proxy.port = atoi(argv[1]);
	proxy.target = atoi(argv[2]);
	proxy.listener = listen_on(proxy.port);
	puts("ready");
	fflush(stdout);
	for (;;)
		loop_once(&proxy);
}
