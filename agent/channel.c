/* One file, though long: what is sent, what is asked and what is read share the channel's struct,
 * which nobody else may see. */
#include "agent/channel.h"

#include "core/log.h"
#include "core/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_MAX (32 * 1024 * 1024) /* bytes that wait for the socket */
#define REPLY_MAX (4 * 1024 * 1024)  /* bytes of an answer in parts */
#define DRAIN_MAX 8                  /* packets taken in one turn, so that peers share it */
#define BUCKETS   64                 /* of open questions, by their number */
#define TOGETHER  4                  /* frames that an eager channel gathers */

struct packet {
    struct packet *next;
    int fd; /* own duplicate, -1 if none */
    size_t len;
    uint8_t data[];
};

struct question {
    struct question *next;
    uint32_t request;
    int64_t due_ms;
    kv_channel_answer_fn *fn;
    void *ctx;
    struct kv_buf parts;
};

struct kv_channel {
    struct kv_loop *loop;
    struct kv_source *source;
    struct kv_timer *timer;
    int fd;
    enum kv_role self, peer;
    kv_channel_frame_fn *on_frame;
    kv_channel_gone_fn *on_gone;
    kv_channel_gone_fn *on_timeout; /* may be NULL */
    void *ctx;
    uint32_t next_request;
    struct question *questions[BUCKETS];
    struct kv_buf out; /* frames of this turn */
    struct kv_loop_leaver leaver;
    struct packet *queue, **queue_end;
    size_t queue_len;
    int64_t timer_due_ms;
    uint32_t gathered, together; /* frames in `out`; 0, or how many leave before the turn's end */
    bool gone, busy, doomed;     /* busy: inside a callback; doomed: freed there */
    uint8_t *in;                 /* one packet */
};

enum kv_role kv_channel_peer(const struct kv_channel *channel)
{
    return channel->peer;
}

static void free_packet(struct packet *packet)
{
    kv_close_fdp(&packet->fd);
    kv_wipe(packet->data, packet->len);
    free(packet);
}

/* 1 sent, 0 would block, -1 the peer is gone */
static int send_now(const struct kv_channel *channel, struct kv_bytes packet, int fd)
{
    struct iovec iov = {(void *)(uintptr_t)packet.ptr, packet.len};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof control.space;
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
    }
    if (sendmsg(channel->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
        return 1;
    }
    return errno == EAGAIN || errno == ENOBUFS || errno == EINTR ? 0 : -1;
}

static void watch_writes(struct kv_channel *channel, bool on)
{
    struct kv_err err;
    if (channel->source != NULL &&
        kv_loop_change(channel->source, EPOLLIN | (on ? (uint32_t)EPOLLOUT : 0), &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "channel", &err);
    }
}

/* Let a packet wait for the socket; the queue's bound is checked where frames are made. */
static void enqueue(struct kv_channel *channel, struct kv_bytes bytes, int fd)
{
    struct packet *packet = malloc(sizeof *packet + bytes.len);
    if (packet == NULL) {
        abort(); /* frames were promised to be sent */
    }
    packet->next = NULL;
    packet->len = bytes.len;
    packet->fd = fd >= 0 ? dup(fd) : -1;
    memcpy(packet->data, bytes.ptr, bytes.len);
    *channel->queue_end = packet;
    channel->queue_end = &packet->next;
    channel->queue_len += bytes.len;
    watch_writes(channel, true);
}

static void send_or_enqueue(struct kv_channel *channel, struct kv_bytes packet, int fd)
{
    /* sent, or the peer is gone: then the loop will tell */
    if (channel->queue != NULL || send_now(channel, packet, fd) == 0) {
        enqueue(channel, packet, fd);
    }
}

/* The gathered frames as one packet, with `fd` if not -1. */
static void send_gathered(struct kv_channel *channel, int fd)
{
    if (!channel->gone) {
        send_or_enqueue(channel, kv_buf_bytes(&channel->out), fd);
    }
    kv_wipe(channel->out.data, channel->out.len);
    kv_buf_reset(&channel->out);
    channel->gathered = 0;
}

void kv_channel_flush(struct kv_channel *channel)
{
    if (channel->out.len > 0) {
        send_gathered(channel, -1);
    }
}

void kv_channel_eager(struct kv_channel *channel)
{
    channel->together = TOGETHER;
}

static void leave(void *ctx)
{
    kv_channel_flush(ctx);
}

static enum kv_code transmit(struct kv_channel *channel, enum kv_frame_op op, uint32_t request,
                             struct kv_bytes body, int fd, struct kv_err *err)
{
    if (channel->gone) {
        return KV_REFUSE(err, KV_E_STARTING, "the %s is not there", kv_role_word(channel->peer));
    }
    if (channel->queue_len >= QUEUE_MAX) {
        return KV_REFUSE(err, KV_E_BUSY, "the %s does not keep up", kv_role_word(channel->peer));
    }
    if (body.len > kv_frame_row(op)->body_max) { /* what is in it comes from elsewhere */
        return KV_REFUSE(err, KV_E_LIMIT, "%zu bytes are too many for %s", body.len,
                         kv_frame_row(op)->word);
    }
    uint8_t head[KV_FRAME_HEAD_LEN];
    kv_frame_head(op, request, body.len, head);
    if (fd >= 0 || channel->out.len + sizeof head + body.len > KV_FRAME_MAX) {
        kv_channel_flush(channel);
    }
    kv_buf_add(&channel->out, head, sizeof head);
    kv_buf_add_bytes(&channel->out, body);
    assert(!channel->out.failed); /* it was made with room for a packet */
    if (fd >= 0 || ++channel->gathered == channel->together) {
        send_gathered(channel, fd);
    }
    return KV_OK;
}

static void flush_queue(struct kv_channel *channel)
{
    while (channel->queue != NULL) {
        struct packet *packet = channel->queue;
        if (send_now(channel, kv_bytes(packet->data, packet->len), packet->fd) == 0) {
            return;
        }
        channel->queue = packet->next;
        channel->queue_len -= packet->len;
        free_packet(packet);
    }
    channel->queue_end = &channel->queue;
    watch_writes(channel, false);
}

enum kv_code kv_channel_send(struct kv_channel *channel, enum kv_frame_op op, struct kv_bytes body,
                             int fd, struct kv_err *err)
{
    return transmit(channel, op, 0, body, fd, err);
}

static struct question **bucket(struct kv_channel *channel, uint32_t request)
{
    return &channel->questions[request % BUCKETS];
}

/* The timer is never late. It may be early, when what it was armed for was answered: then it looks
 * for the next deadline. */
static void arm_for(struct kv_channel *channel, int64_t due_ms)
{
    if (!kv_timer_armed(channel->timer) || due_ms < channel->timer_due_ms) {
        channel->timer_due_ms = due_ms;
        kv_timer_arm(channel->timer, due_ms - kv_loop_clock_ms());
    }
}

enum kv_code kv_channel_ask(struct kv_channel *channel, enum kv_frame_op op, struct kv_bytes body,
                            int fd, int64_t timeout_ms, kv_channel_answer_fn *fn, void *ctx,
                            struct kv_err *err)
{
    struct question *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory");
    }
    channel->next_request = channel->next_request == UINT32_MAX ? 1 : channel->next_request + 1;
    struct question **at = bucket(channel, channel->next_request);
    *q = (struct question){.next = *at,
                           .request = channel->next_request,
                           .due_ms = kv_loop_clock_ms() + timeout_ms,
                           .fn = fn,
                           .ctx = ctx};
    kv_buf_init(&q->parts, REPLY_MAX);
    enum kv_code code = transmit(channel, op, q->request, body, fd, err);
    if (code != KV_OK) {
        free(q);
        return code;
    }
    *at = q;
    arm_for(channel, q->due_ms);
    return KV_OK;
}

static void free_question(struct question *q)
{
    if (q->parts.data != NULL) {
        kv_wipe(q->parts.data, q->parts.cap);
    }
    kv_buf_clear(&q->parts);
    free(q);
}

/* Take the question out of the list; NULL if it is not open (a late answer). */
static struct question *take_question(struct kv_channel *channel, uint32_t request)
{
    for (struct question **at = bucket(channel, request); *at != NULL; at = &(*at)->next) {
        if ((*at)->request == request) {
            struct question *q = *at;
            *at = q->next;
            return q;
        }
    }
    return NULL;
}

static void answer(struct question *q, enum kv_code code, const char *detail,
                   struct kv_bytes fields)
{
    struct kv_answer_frame a = {code, detail, fields};
    q->fn(q->ctx, &a);
    free_question(q);
}

static void destroy(struct kv_channel *channel);

/* The first question that is due; else *next is the earliest deadline. */
static struct question *due_question(const struct kv_channel *channel, int64_t now, int64_t *next)
{
    *next = INT64_MAX;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct question *q = channel->questions[i]; q != NULL; q = q->next) {
            if (q->due_ms <= now) {
                return q;
            }
            *next = q->due_ms < *next ? q->due_ms : *next;
        }
    }
    return NULL;
}

static void on_timer(void *ctx)
{
    struct kv_channel *channel = ctx;
    int64_t now = kv_loop_clock_ms(), next;
    const struct question *q;
    channel->busy = true;
    /* a callback may change the list: begin anew after each */
    while (!channel->doomed && (q = due_question(channel, now, &next)) != NULL) {
        /* a keeper is late only when its module or TPM is */
        enum kv_code code = channel->peer == KV_ROLE_KEEPER ? KV_E_TOKEN_TIMEOUT : KV_E_TIMEOUT;
        answer(take_question(channel, q->request), code, "no answer within the deadline",
               KV_BYTES_NULL);
        if (!channel->doomed && channel->on_timeout != NULL) {
            channel->on_timeout(channel->ctx, channel);
        }
    }
    channel->busy = false;
    if (channel->doomed) {
        destroy(channel);
    } else if (next != INT64_MAX) {
        arm_for(channel, next);
    }
}

void kv_channel_reply(struct kv_channel *channel, uint32_t request, enum kv_code code,
                      const char *detail, struct kv_bytes fields)
{
    struct kv_err err;
    struct kv_buf body;
    size_t room = KV_FRAME_BODY_MAX - 256;
    kv_buf_init(&body, KV_FRAME_BODY_MAX);
    while (fields.len > room) {
        if (transmit(channel, KV_FRAME_REPLY_PART, request, kv_bytes(fields.ptr, room), -1, &err) !=
            KV_OK) {
            kv_log_err(KV_LOG_ERROR, "reply", &err);
            return;
        }
        fields.ptr += room;
        fields.len -= room;
    }
    size_t detail_len = strlen(detail);
    detail_len = detail_len > 200 ? 200 : detail_len;
    kv_buf_add_u16(&body, (uint16_t)code);
    kv_buf_add_u16(&body, (uint16_t)detail_len);
    kv_buf_add(&body, detail, detail_len);
    kv_buf_add_bytes(&body, fields);
    if (body.failed ||
        transmit(channel, KV_FRAME_REPLY, request, kv_buf_bytes(&body), -1, &err) != KV_OK) {
        kv_log(KV_LOG_ERROR, "reply", "request=%u lost", request);
    }
    if (body.data != NULL) {
        kv_wipe(body.data, body.len);
    }
    kv_buf_clear(&body);
}

void kv_channel_forget(struct kv_channel *channel, const void *ctx)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct question **at = &channel->questions[i];
        while (*at != NULL) {
            struct question *q = *at;
            if (q->ctx == ctx) {
                *at = q->next;
                free_question(q);
            } else {
                at = &q->next;
            }
        }
    }
}

void kv_channel_extend(struct kv_channel *channel, const void *ctx, int64_t timeout_ms)
{
    int64_t due_ms = kv_loop_clock_ms() + timeout_ms;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct question *q = channel->questions[i]; q != NULL; q = q->next) {
            if (q->ctx == ctx) {
                q->due_ms = due_ms;
                arm_for(channel, due_ms);
            }
        }
    }
}

static void on_reply_part(struct kv_channel *channel, const struct kv_frame *frame)
{
    for (struct question *q = *bucket(channel, frame->request); q != NULL; q = q->next) {
        if (q->request == frame->request) {
            kv_buf_add_bytes(&q->parts, frame->body);
        }
    }
}

static void on_reply(struct kv_channel *channel, const struct kv_frame *frame)
{
    struct kv_cursor cur = kv_cursor(frame->body);
    uint16_t code = kv_cursor_u16(&cur);
    struct kv_bytes said = kv_cursor_take(&cur, kv_cursor_u16(&cur));
    char detail[208];
    struct question *q = take_question(channel, frame->request);
    if (q == NULL) {
        return; /* it came after its deadline */
    }
    size_t n = said.len < sizeof detail - 1 ? said.len : sizeof detail - 1;
    if (n > 0) {
        memcpy(detail, said.ptr, n);
    }
    detail[n] = '\0';
    struct kv_bytes fields = kv_bytes(cur.ptr, cur.left);
    if (q->parts.len > 0) {
        kv_buf_add_bytes(&q->parts, fields);
        fields = kv_buf_bytes(&q->parts);
    }
    if (cur.failed || code >= KV_CODE_COUNT || q->parts.failed) {
        answer(q, KV_E_PROTOCOL, "malformed answer", KV_BYTES_NULL);
    } else {
        answer(q, (enum kv_code)code, detail, fields);
    }
}

static void lost(struct kv_channel *channel)
{
    if (channel->gone) {
        return;
    }
    channel->gone = true;
    kv_loop_unwatch(&channel->source);
    for (size_t i = 0; i < BUCKETS; i++) {
        struct question *q;
        while ((q = channel->questions[i]) != NULL) {
            channel->questions[i] = q->next;
            answer(q, KV_E_STARTING, "that part of the agent was restarted", KV_BYTES_NULL);
        }
    }
    if (!channel->doomed && channel->on_gone != NULL) {
        channel->on_gone(channel->ctx, channel);
    }
}

/* Receive one packet; its length, 0 if none is there, -1 if the peer is gone. */
static ssize_t receive(struct kv_channel *channel, int *fd)
{
    struct iovec iov = {channel->in, KV_FRAME_MAX};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof control.space};
    ssize_t n = recvmsg(channel->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    *fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof(int))) {
            memcpy(fd, CMSG_DATA(c), sizeof *fd);
        }
    }
    if (n == 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        kv_close_fdp(fd);
        return -1;
    }
    return n;
}

static void dispatch(struct kv_channel *channel, struct kv_bytes packet, int fd)
{
    struct kv_frame frame;
    struct kv_err err;
    if (kv_frame_parse(packet, channel->peer, channel->self, fd >= 0, &frame, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "frame", &err);
        kv_close_fdp(&fd);
        lost(channel);
        return;
    }
    if (frame.op == KV_FRAME_REPLY) {
        on_reply(channel, &frame);
    } else if (frame.op == KV_FRAME_REPLY_PART) {
        on_reply_part(channel, &frame);
    } else {
        channel->on_frame(channel->ctx, channel, &frame, fd);
    }
}

/* The frames of a packet, in order. A descriptor came with exactly one. */
static void take_apart(struct kv_channel *channel, size_t len, int fd)
{
    size_t at = 0;
    while (at < len && !channel->doomed && !channel->gone) {
        size_t frame = fd >= 0 ? len : kv_frame_first(kv_bytes(channel->in + at, len - at));
        dispatch(channel, kv_bytes(channel->in + at, frame), fd);
        at += frame;
    }
}

static void destroy(struct kv_channel *channel)
{
    kv_channel_flush(channel); /* last words */
    kv_loop_quiet(channel->loop, &channel->leaver);
    lost(channel);
    while (channel->queue != NULL) {
        struct packet *next = channel->queue->next;
        free_packet(channel->queue);
        channel->queue = next;
    }
    kv_timer_free(channel->timer);
    kv_close_fdp(&channel->fd);
    kv_buf_clear(&channel->out);
    free(channel->in);
    free(channel);
}

static void on_ready(void *ctx, uint32_t events)
{
    struct kv_channel *channel = ctx;
    channel->busy = true;
    if ((events & EPOLLOUT) != 0) {
        flush_queue(channel);
    }
    bool more = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
    for (int i = 0; more && i < DRAIN_MAX && !channel->doomed && !channel->gone; i++) {
        int fd = -1;
        ssize_t n = receive(channel, &fd);
        if (n < 0) {
            lost(channel);
        } else if (n > 0) {
            take_apart(channel, (size_t)n, fd);
            kv_wipe(channel->in, (size_t)n);
        }
        more = n > 0;
    }
    channel->busy = false;
    if (channel->doomed) {
        destroy(channel);
    }
}

enum kv_code kv_channel_new_take_fd(struct kv_loop *loop, int fd, enum kv_role self,
                                    enum kv_role peer, kv_channel_frame_fn *on_frame,
                                    kv_channel_gone_fn *on_gone, void *ctx, struct kv_channel **out,
                                    struct kv_err *err)
{
    struct kv_channel *channel = calloc(1, sizeof *channel);
    uint8_t *in = calloc(1, KV_FRAME_MAX);
    if (channel == NULL || in == NULL) {
        free(channel);
        free(in);
        kv_close_fdp(&fd);
        return KV_REFUSE(err, KV_E_NO_MEMORY, "out of memory");
    }
    *channel = (struct kv_channel){.loop = loop,
                                   .fd = fd,
                                   .self = self,
                                   .peer = peer,
                                   .on_frame = on_frame,
                                   .on_gone = on_gone,
                                   .ctx = ctx,
                                   .in = in};
    channel->queue_end = &channel->queue;
    channel->timer = kv_timer_new(loop, on_timer, channel);
    channel->leaver = (struct kv_loop_leaver){.fn = leave, .ctx = channel};
    kv_loop_on_leave(loop, &channel->leaver);
    kv_buf_init(&channel->out, KV_FRAME_MAX);
    kv_buf_add(&channel->out, in, KV_FRAME_MAX); /* all its room now: it is never moved */
    kv_buf_reset(&channel->out);
    enum kv_code code = kv_loop_watch(loop, fd, EPOLLIN, on_ready, channel, &channel->source, err);
    if (code != KV_OK) {
        channel->doomed = true;
        destroy(channel);
        return code;
    }
    *out = channel;
    return KV_OK;
}

void kv_channel_free(struct kv_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    channel->doomed = true;
    if (!channel->busy) {
        destroy(channel);
    }
}

void kv_channel_on_timeout(struct kv_channel *channel, kv_channel_gone_fn *fn)
{
    channel->on_timeout = fn;
}
