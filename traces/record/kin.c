/*
 * kin.c - see kin.h. One bit per process number says whether a process is one of ours; a fork
 * sets or clears it, by its parent.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc/base/grow.h"
#include "traces/record/judge.h"
#include "traces/record/kin.h"

enum { PIDS = 1 << 22, ROOM = 4 << 20, KEPT_MOST = 65536 };

struct list {
	struct rh_kin_event *events;
	size_t count, room;
};

struct rh_kin {
	int fd, stop; /* the socket; an eventfd that ends the thread */
	pthread_t thread;
	bool runs;
	pthread_mutex_t lock; /* of what follows */
	struct list come;
	bool works;
	/* Belongs to the thread, and after its end to its caller. */
	uint8_t ours[PIDS / 8];
	struct list taken;
};

static bool is_ours(const struct rh_kin *kin, int pid)
{
	return pid > 0 && pid < PIDS && (kin->ours[pid / 8] >> pid % 8 & 1);
}

static void set_ours(struct rh_kin *kin, int pid, bool ours)
{
	uint8_t bit;

	if (pid <= 0 || pid >= PIDS)
		return;
	bit = (uint8_t)(1u << pid % 8);
	kin->ours[pid / 8] = ours ? kin->ours[pid / 8] | bit : kin->ours[pid / 8] & (uint8_t)~bit;
}

static void keep(struct rh_kin *kin, const struct rh_kin_event *event)
{
	struct list *list = &kin->come;

	pthread_mutex_lock(&kin->lock);
	kin->works = true;
	if (list->count < KEPT_MOST &&
	    rh_reserve(&list->events, &list->room, list->count + 1, sizeof *list->events))
		list->events[list->count++] = *event;
	pthread_mutex_unlock(&kin->lock);
}

/* Whether the new image has an environment without our variable. A program that starts others by
 * system calls of its own (Go's os/exec) does not come through our functions. */
static bool is_cleared(int pid)
{
	static const char wanted[] = RH_RECORD_ENV "=";
	char path[64], *line = NULL;
	size_t room = 0;
	bool any = false, found = false;
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/environ", pid);
	in = fopen(path, "re");
	while (in && !found && getdelim(&line, &room, '\0', in) > 0) {
		any = true;
		found = strncmp(line, wanted, sizeof wanted - 1) == 0;
	}
	if (in)
		fclose(in);
	free(line);
	return any && !found;
}

/* Read through the process: its root folder may differ from ours. */
static void look_at_file(struct rh_kin_event *event)
{
	_Alignas(16) char head[RH_JUDGE_BYTES];
	char link[64];
	ssize_t got;
	int fd;

	snprintf(link, sizeof link, "/proc/%d/exe", event->pid);
	got = readlink(link, event->exe, sizeof event->exe - 1);
	event->exe[got > 0 ? got : 0] = '\0';
	fd = open(link, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? 0 : pread(fd, head, sizeof head, 0);
	if (fd >= 0)
		close(fd);
	if (got >= (ssize_t)sizeof(ElfW(Ehdr)) && memcmp(head, ELFMAG, SELFMAG) == 0)
		event->why = rh_judge_elf(event->exe, head, (size_t)got);
	event->cleared = event->why == RH_KID_RECORDED && is_cleared(event->pid);
}

static void hear(struct rh_kin *kin, const struct proc_event *news)
{
	struct rh_kin_event event = { .why = RH_KID_RECORDED, .at = news->timestamp_ns };
	bool ours;

	if (news->what == PROC_EVENT_FORK &&
	    news->event_data.fork.child_pid == news->event_data.fork.child_tgid) {
		event.kind = RH_KIN_FORK;
		event.pid = news->event_data.fork.child_tgid;
		event.parent = news->event_data.fork.parent_tgid;
		ours = is_ours(kin, event.parent);
		set_ours(kin, event.pid, ours);
	} else if (news->what == PROC_EVENT_EXEC) {
		event.kind = RH_KIN_EXEC;
		event.pid = news->event_data.exec.process_tgid;
		ours = is_ours(kin, event.pid);
		if (ours)
			look_at_file(&event);
	} else {
		return;
	}
	if (ours)
		keep(kin, &event);
}

/* One message, if there is one. False: there is none. */
static bool receive(struct rh_kin *kin)
{
	_Alignas(struct nlmsghdr) char buffer[1024];
	struct nlmsghdr *header = (struct nlmsghdr *)buffer;
	struct proc_event news;
	ssize_t got = recv(kin->fd, buffer, sizeof buffer, MSG_DONTWAIT);

	if (got < 0)
		return errno == EINTR || errno == ENOBUFS; /* some were lost: go on with the next */
	if (got < (ssize_t)(NLMSG_LENGTH(sizeof(struct cn_msg)) + sizeof news))
		return got > 0;
	memcpy(&news, ((struct cn_msg *)NLMSG_DATA(header))->data, sizeof news);
	hear(kin, &news);
	return true;
}

static void *listen_on(void *arg)
{
	struct rh_kin *kin = arg;
	struct pollfd fds[2] = { { .fd = kin->fd, .events = POLLIN },
				 { .fd = kin->stop, .events = POLLIN } };

	while (!(fds[1].revents & POLLIN)) {
		while (receive(kin))
			;
		poll(fds, 2, 1000);
	}
	return NULL;
}

static bool ask(int fd, enum proc_cn_mcast_op op)
{
	const struct nlmsghdr header = { .nlmsg_len =
						 NLMSG_LENGTH(sizeof(struct cn_msg) + sizeof op),
					 .nlmsg_type = NLMSG_DONE };
	const struct cn_msg question = { .id = { CN_IDX_PROC, CN_VAL_PROC }, .len = sizeof op };
	char message[NLMSG_LENGTH(sizeof question + sizeof op)];

	memcpy(message, &header, sizeof header);
	memcpy(message + NLMSG_HDRLEN, &question, sizeof question);
	memcpy(message + NLMSG_HDRLEN + sizeof question, &op, sizeof op);
	return send(fd, message, sizeof message, MSG_DONTWAIT) == (ssize_t)sizeof message;
}

static bool subscribe(int fd)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	int room = ROOM;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
	       ask(fd, PROC_CN_MCAST_LISTEN);
}

struct rh_kin *rh_kin_open(void)
{
	int fd = socket(PF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	struct rh_kin *kin = fd < 0 ? NULL : calloc(1, sizeof *kin);

	if (!kin || !subscribe(fd)) {
		free(kin);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	kin->fd = fd;
	kin->stop = -1;
	pthread_mutex_init(&kin->lock, NULL);
	set_ours(kin, (int)getpid(), true);
	return kin;
}

void rh_kin_begin(struct rh_kin *kin)
{
	sigset_t all, before;

	kin->stop = eventfd(0, EFD_CLOEXEC);
	if (kin->stop < 0)
		return;
	sigfillset(&all); /* signals are the recorder's */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	kin->runs = pthread_create(&kin->thread, NULL, listen_on, kin) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop(struct rh_kin *kin)
{
	uint64_t one = 1;

	if (!kin->runs)
		return;
	if (write(kin->stop, &one, sizeof one) == (ssize_t)sizeof one)
		pthread_join(kin->thread, NULL);
	kin->runs = false;
}

size_t rh_kin_take(struct rh_kin *kin, bool last, const struct rh_kin_event **events)
{
	struct list list;

	if (last)
		stop(kin);
	while (!kin->runs && receive(kin)) /* events that the thread has not taken, or all */
		;
	pthread_mutex_lock(&kin->lock);
	list = kin->come;
	kin->come = kin->taken;
	kin->come.count = 0;
	kin->taken = list;
	pthread_mutex_unlock(&kin->lock);
	*events = list.events;
	return list.count;
}

bool rh_kin_works(struct rh_kin *kin)
{
	bool works;

	pthread_mutex_lock(&kin->lock);
	works = kin->works;
	pthread_mutex_unlock(&kin->lock);
	return works;
}

bool rh_kin_has(const struct rh_kin *kin, int pid)
{
	return !kin || is_ours(kin, pid);
}

void rh_kin_close(struct rh_kin *kin)
{
	if (!kin)
		return;
	stop(kin);
	/* kernels before 6.6 count subscribe and unsubscribe messages, not closed sockets: without
	 * this each fork on the machine would generate unused events for good */
	ask(kin->fd, PROC_CN_MCAST_IGNORE);
	close(kin->fd);
	if (kin->stop >= 0)
		close(kin->stop);
	pthread_mutex_destroy(&kin->lock);
	free(kin->come.events);
	free(kin->taken.events);
	free(kin);
}
