#include "agent/channel.h"

#include "tests/unit/kv_test.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The vault's and the keeper's ends of one pair, on one loop. */
struct pair {
    struct kv_loop *loop;
    struct kv_channel *vault, *keeper;
    struct kv_timer *end;
    int raw; /* a bare end instead of the keeper's channel, -1 if none */
    bool echo;
    size_t reply_len;
    unsigned asked, answered, gone;
    enum kv_code code;
    size_t fields_len;
};

static void stop(void *ctx)
{
    struct pair *p = ctx;
    kv_loop_stop(p->loop);
}

static void on_question(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd)
{
    struct pair *p = ctx;
    assert_int_equal(fd, -1);
    p->asked++;
    if (p->echo) {
        uint8_t *fields = calloc(1, p->reply_len + 1);
        assert_non_null(fields);
        kv_channel_reply(channel, frame->request, KV_OK, "done", kv_bytes(fields, p->reply_len));
        free(fields);
    }
}

static void on_answer(void *ctx, const struct kv_answer_frame *answer)
{
    struct pair *p = ctx;
    p->answered++;
    p->code = answer->code;
    p->fields_len = answer->fields.len;
    kv_loop_stop(p->loop);
}

static void on_gone(void *ctx, struct kv_channel *channel)
{
    struct pair *p = ctx;
    (void)channel;
    p->gone++;
}

static void open_pair(struct pair *p, bool raw)
{
    struct kv_err err;
    int fd[2];
    *p = (struct pair){.raw = -1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
    assert_int_equal(kv_loop_new(&p->loop, &err), KV_OK);
    assert_int_equal(kv_channel_new_take_fd(p->loop, fd[0], KV_ROLE_VAULT, KV_ROLE_KEEPER,
                                            on_question, on_gone, p, &p->vault, &err),
                     KV_OK);
    if (raw) {
        p->raw = fd[1];
    } else {
        assert_int_equal(kv_channel_new_take_fd(p->loop, fd[1], KV_ROLE_KEEPER, KV_ROLE_VAULT,
                                                on_question, on_gone, p, &p->keeper, &err),
                         KV_OK);
    }
    p->end = kv_timer_new(p->loop, stop, p);
}

static void close_pair(struct pair *p)
{
    kv_timer_free(p->end);
    kv_channel_free(p->vault);
    kv_channel_free(p->keeper);
    kv_close_fdp(&p->raw);
    kv_loop_free(p->loop);
}

static void run(struct pair *p, int64_t ms)
{
    struct kv_err err;
    kv_timer_arm(p->end, ms);
    assert_int_equal(kv_loop_run(p->loop, &err), KV_OK);
}

static void ask(struct pair *p, int64_t timeout_ms)
{
    struct kv_err err;
    assert_int_equal(kv_channel_ask(p->vault, KV_FRAME_SLOT_STATE, KV_BYTES_NULL, -1, timeout_ms,
                                    on_answer, p, &err),
                     KV_OK);
}

static void a_question_gets_its_answer_also_in_parts(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 60000, 70000, 300000};
    for (size_t i = 0; i < KV_COUNT(lengths); i++) {
        struct pair p;
        open_pair(&p, false);
        p.echo = true;
        p.reply_len = lengths[i];
        ask(&p, 5000);
        run(&p, 5000);
        assert_int_equal(p.answered, 1);
        assert_int_equal(p.code, KV_OK);
        assert_int_equal(p.fields_len, lengths[i]);
        close_pair(&p);
    }
}

/* What is asked may come from outside: too long, it is refused, and the channel goes on. */
static void a_question_above_its_limit_is_refused(void **state)
{
    (void)state;
    struct pair p;
    struct kv_err err;
    static const uint8_t body[65]; /* slot-state has 64 bytes */
    open_pair(&p, false);
    p.echo = true;
    assert_int_equal(kv_channel_ask(p.vault, KV_FRAME_SLOT_STATE, kv_bytes(body, sizeof body), -1,
                                    5000, on_answer, &p, &err),
                     KV_E_LIMIT);
    assert_int_equal(p.answered, 0);
    ask(&p, 5000);
    run(&p, 5000);
    assert_int_equal(p.answered, 1);
    close_pair(&p);
}

static void a_question_without_answer_ends_at_its_deadline(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p, false);
    ask(&p, 30);
    run(&p, 5000);
    assert_int_equal(p.answered, 1);
    assert_int_equal(p.code, KV_E_TOKEN_TIMEOUT); /* its peer is a keeper */
    close_pair(&p);
}

/* The deadlines are far apart, so that no slow machine turns it. */
static void a_deadline_can_be_put_off_for_who_asked(void **state)
{
    (void)state;
    struct pair p;
    int other;
    open_pair(&p, false);
    ask(&p, 50);
    kv_channel_extend(p.vault, &p, 60000);
    run(&p, 200);
    assert_int_equal(p.answered, 0);
    kv_channel_extend(p.vault, &other, 60000); /* nobody's question */
    kv_channel_extend(p.vault, &p, 10);
    run(&p, 5000);
    assert_int_equal(p.answered, 1);
    assert_int_equal(p.code, KV_E_TOKEN_TIMEOUT);
    close_pair(&p);
}

static void a_peer_that_goes_answers_all_questions(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p, false);
    ask(&p, 5000);
    kv_channel_free(p.keeper);
    p.keeper = NULL;
    run(&p, 5000);
    assert_int_equal(p.code, KV_E_STARTING);
    assert_int_equal(p.gone, 1);
    struct kv_err err;
    assert_int_equal(kv_channel_send(p.vault, KV_FRAME_SLOT_STATE, KV_BYTES_NULL, -1, &err),
                     KV_E_STARTING);
    close_pair(&p);
}

static void a_peer_that_breaks_the_table_is_cut_off(void **state)
{
    (void)state;
    uint8_t frame[KV_FRAME_HEAD_LEN];
    struct pair p;
    open_pair(&p, true);
    kv_frame_head(KV_FRAME_CALL, 1, 0, frame); /* only the gate may send this */
    assert_int_equal(send(p.raw, frame, sizeof frame, 0), (ssize_t)sizeof frame);
    run(&p, 100);
    assert_int_equal(p.gone, 1);
    assert_int_equal(p.asked, 0);
    close_pair(&p);
}

static void a_packet_may_hold_several_frames(void **state)
{
    (void)state;
    uint8_t packet[2 * KV_FRAME_HEAD_LEN];
    struct pair p;
    open_pair(&p, false);
    for (int i = 0; i < 100; i++) {
        ask(&p, 5000);
    }
    run(&p, 50);
    assert_int_equal(p.asked, 100);
    close_pair(&p);

    open_pair(&p, true); /* an answer to nothing is no harm; what is behind it is not skipped */
    kv_frame_head(KV_FRAME_REPLY, 7, 0, packet);
    kv_frame_head(KV_FRAME_CALL, 1, 0, packet + KV_FRAME_HEAD_LEN);
    assert_true(send(p.raw, packet, 2 * KV_FRAME_HEAD_LEN, 0) > 0);
    run(&p, 50);
    assert_int_equal(p.gone, 1);
    close_pair(&p);

    for (size_t cut = 1; cut < KV_FRAME_HEAD_LEN; cut++) { /* a frame that is cut */
        open_pair(&p, true);
        kv_frame_head(KV_FRAME_REPLY, 7, 0, packet);
        kv_frame_head(KV_FRAME_REPLY, 8, 0, packet + KV_FRAME_HEAD_LEN);
        assert_true(send(p.raw, packet, KV_FRAME_HEAD_LEN + cut, 0) > 0);
        run(&p, 20);
        assert_int_equal(p.gone, 1);
        close_pair(&p);
    }
}

static void a_descriptor_where_none_belongs_cuts_the_peer_off(void **state)
{
    (void)state;
    uint8_t frame[KV_FRAME_HEAD_LEN];
    struct pair p;
    open_pair(&p, true);
    kv_frame_head(KV_FRAME_REPLY, 1, 0, frame);
    struct iovec iov = {frame, sizeof frame};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof control.space};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    int zero = 0;
    memcpy(CMSG_DATA(cmsg), &zero, sizeof zero);
    assert_true(sendmsg(p.raw, &msg, 0) > 0);
    run(&p, 100);
    assert_int_equal(p.gone, 1);
    close_pair(&p);
}

static void a_forgotten_question_is_not_answered(void **state)
{
    (void)state;
    struct pair p;
    open_pair(&p, false);
    p.echo = true;
    ask(&p, 5000);
    kv_channel_forget(p.vault, &p);
    run(&p, 50);
    assert_int_equal(p.asked, 1);
    assert_int_equal(p.answered, 0);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_gets_its_answer_also_in_parts),
        cmocka_unit_test(a_question_above_its_limit_is_refused),
        cmocka_unit_test(a_question_without_answer_ends_at_its_deadline),
        cmocka_unit_test(a_deadline_can_be_put_off_for_who_asked),
        cmocka_unit_test(a_peer_that_goes_answers_all_questions),
        cmocka_unit_test(a_peer_that_breaks_the_table_is_cut_off),
        cmocka_unit_test(a_packet_may_hold_several_frames),
        cmocka_unit_test(a_descriptor_where_none_belongs_cuts_the_peer_off),
        cmocka_unit_test(a_forgotten_question_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
