#include "agent/supervisor.h"

#include "agent/program.h"
#include "core/log.h"
#include "core/parse.h"
#include "pkcs11/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LAST_MS  60000
#define READY_TIMEOUT_MS 20000 /* of a vault that reads its ledger: between two signs of life */
#define ATTEST_WAIT_MS   9000  /* below the vault's own patience */
#define LOGIN_TIMEOUT_MS 70000 /* a login has 60 s of its own and is never killed before */

const char *kv_child_program(enum kv_role role)
{
    static const char *const names[KV_ROLE_COUNT] = {
        [KV_ROLE_SUPERVISOR] = "ksefvaultd",     [KV_ROLE_GATE] = "ksefvault-gate",
        [KV_ROLE_VAULT] = "ksefvault-vault",     [KV_ROLE_KEEPER] = "ksefvault-keeper",
        [KV_ROLE_COURIER] = "ksefvault-courier",
    };
    return names[role];
}

const char *kv_child_account(const struct kv_child *child)
{
    const struct kv_config *config = child->sup->config;
    const char *const users[KV_ROLE_COUNT] = {
        [KV_ROLE_SUPERVISOR] = "root",
        [KV_ROLE_GATE] = config->user_gate,
        [KV_ROLE_VAULT] = config->user_vault,
        [KV_ROLE_KEEPER] = config->user_keeper,
        [KV_ROLE_COURIER] = config->user_courier,
    };
    return users[child->role];
}

static const char *label(const struct kv_child *child)
{
    return child->slot != NULL ? child->slot->name : "-";
}

void kv_supervisor_tell(struct kv_supervisor *sup, const struct kv_child *child, enum kv_code code,
                        const char *detail)
{
    struct kv_err err;
    struct kv_buf body;
    if (sup->children[0].channel == NULL || child == &sup->children[0]) {
        return;
    }
    kv_buf_init(&body, 1024);
    kv_message_str(&body, "role", kv_role_word(child->role));
    kv_message_str(&body, "slot", label(child));
    kv_message_number(&body, "code", code);
    kv_message_str(&body, "detail", detail);
    if (kv_channel_send(sup->children[0].channel, KV_FRAME_CHILD, kv_buf_bytes(&body), -1, &err) !=
        KV_OK) {
        kv_log_err(KV_LOG_WARNING, "tell", &err);
    }
    kv_buf_clear(&body);
}

static void later(struct kv_child *child)
{
    int64_t lived = kv_loop_clock_ms() - child->born_ms;
    if (lived > BACKOFF_LAST_MS || child->backoff_ms == 0) {
        child->backoff_ms = BACKOFF_FIRST_MS;
    }
    kv_log(KV_LOG_INFO, "restart", "program=%s slot=%s in_ms=%lld", kv_child_program(child->role),
           label(child), (long long)child->backoff_ms);
    kv_timer_arm(child->respawn, child->backoff_ms);
    child->backoff_ms =
        child->backoff_ms * 2 > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : child->backoff_ms * 2;
}

static void on_configured(void *ctx, const struct kv_answer_frame *answer)
{
    struct kv_child *child = ctx;
    kv_log(answer->code == KV_OK ? KV_LOG_INFO : KV_LOG_ERROR,
           answer->code == KV_OK ? "ready" : "not-ready",
           "program=%s slot=%s code=%s detail=\"%s\"", kv_child_program(child->role), label(child),
           kv_code_word(answer->code), answer->detail);
    child->ready = answer->code == KV_OK;
    if (child->ready) {
        kv_close_fdp(&child->handed); /* came too late: nobody's to be tried unasked, later */
    }
    if ((answer->code == KV_E_TIMEOUT || answer->code == KV_E_TOKEN_TIMEOUT) &&
        child->pid != 0) { /* a login has had its 60 s */
        child->hangs = true;
        (void)kill(child->pid, SIGKILL); /* ours, and not yet waited for */
    }
    bool refused = answer->code == KV_E_TOKEN_PIN || answer->code == KV_E_TOKEN_PIN_LOW ||
                   answer->code == KV_E_TOKEN_PIN_LOCKED || answer->code == KV_E_TOKEN_LATCHED;
    child->latched = refused ? answer->code : KV_OK;
    kv_supervisor_tell(child->sup, child, answer->code, answer->detail);
}

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd);

static void on_gone(void *ctx, struct kv_channel *channel)
{
    (void)ctx;
    (void)channel; /* the process' end, which follows, is what counts */
}

/* Runs in the new process: leave nothing of the supervisor's but the descriptors of the table. */
static _Noreturn void become(const struct kv_child *child, const struct passwd *pw, int fds[3])
{
    int high[3];
    sigset_t none;
    char path[512];
    for (int i = 0; i < 3; i++) {
        high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD, 64);
    }
    for (int i = 0; i < 3; i++) {
        if (high[i] < 0) {
            (void)close(KV_FD_SUPERVISOR + i); /* may not be open */
        } else if (dup2(high[i], KV_FD_SUPERVISOR + i) < 0) {
            _exit(1);
        }
    }
    if (close_range(KV_FD_PIN + 1, ~0U, 0) != 0 || chdir("/") != 0 || setsid() < 0) {
        _exit(1);
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail with these arguments */
    /* a device belongs to a group of its own (tss), which the administrator gives to the keeper */
    int grouped =
        child->role == KV_ROLE_KEEPER ? initgroups(pw->pw_name, pw->pw_gid) : setgroups(0, NULL);
    if (grouped != 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0) {
        perror("ksefvaultd: cannot change the account");
        _exit(1);
    }
    int n = snprintf(path, sizeof path, "%s/%s", child->sup->program_dir,
                     kv_child_program(child->role));
    char *const argv[] = {path, NULL};
    char *const env[] = {(char *)(uintptr_t) "PATH=/usr/bin:/bin",
                         (char *)(uintptr_t) "LANG=C.UTF-8", NULL};
    if (n > 0 && (size_t)n < sizeof path) {
        (void)execve(path, argv, env); /* returns only on failure */
        perror(path);
    }
    _exit(1);
}

enum kv_code kv_proxy_login_open(const char *source, uid_t owner, int *fd, struct kv_err *err)
{
    struct kv_err why;
    /* what a keeper is told to do about its PIN would help nobody here */
    return kv_pin_open(source, owner, fd, &why) == KV_OK
               ? KV_OK
               : KV_REFUSE(err, KV_E_CONFIG, "ksef: proxy-credentials: %.150s", why.msg);
}

static enum kv_code open_pin(struct kv_child *child, const struct passwd *pw, int *fd,
                             struct kv_err *err)
{
    const char *source =
        child->role == KV_ROLE_COURIER ? child->sup->config->ksef->proxy_credentials : NULL;
    source = child->slot != NULL ? child->slot->pin : source;
    *fd = child->handed;
    child->handed = -1;
    child->by_hand = *fd >= 0;
    if (child->by_hand) {
        return KV_OK;
    }
    if (child->slot != NULL && strcmp(source, KV_CONFIG_PIN_PROMPT) == 0) {
        return KV_REFUSE(err, KV_E_PIN_AWAITED, "the PIN is entered by hand at each start");
    }
    if (source == NULL || strcmp(source, KV_CONFIG_PIN_PROTECTED) == 0) {
        return KV_OK;
    }
    return child->slot != NULL ? kv_pin_open(source, pw->pw_uid, fd, err)
                               : kv_proxy_login_open(source, pw->pw_uid, fd, err);
}

static enum kv_code pairs(const struct kv_child *child, int sup[2], int vault[2],
                          struct kv_err *err)
{
    int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
    if (socketpair(AF_UNIX, type, 0, sup) != 0 ||
        (child->role != KV_ROLE_VAULT && socketpair(AF_UNIX, type, 0, vault) != 0)) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "socketpair");
    }
    return KV_OK;
}

static enum kv_code spawn(struct kv_child *child, struct kv_err *err)
{
    int sup[2] = {-1, -1}, vault[2] = {-1, -1}, pin = -1;
    errno = 0;
    const struct passwd *pw = getpwnam(kv_child_account(child));
    if (pw == NULL) {
        return KV_FAIL(err, KV_E_CONFIG, KV_ERRNO,
                       "there is no account '%s'; create it (systemd-sysusers)",
                       kv_child_account(child));
    }
    enum kv_code code = open_pin(child, pw, &pin, err);
    if (code == KV_OK) {
        code = pairs(child, sup, vault, err);
    }
    if (code == KV_OK) {
        int fds[3] = {sup[1], vault[1], pin};
        child->pid = fork();
        if (child->pid == 0) {
            become(child, pw, fds);
        }
        if (child->pid < 0) {
            child->pid = 0;
            code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "fork");
        }
    }
    if (code == KV_OK) {
        child->born_ms = kv_loop_clock_ms();
        child->peer_fd = vault[0];
        vault[0] = -1;
        int own = sup[0];
        sup[0] = -1;
        code = kv_channel_new_take_fd(child->sup->loop, own, KV_ROLE_SUPERVISOR, child->role,
                                      on_frame, on_gone, child, &child->channel, err);
    }
    for (int i = 0; i < 2; i++) {
        kv_close_fdp(&sup[i]);
        kv_close_fdp(&vault[i]);
    }
    kv_close_fdp(&pin);
    return code;
}

/* Hand the vault its end of the pair to this child. */
static void introduce(struct kv_child *child)
{
    struct kv_supervisor *sup = child->sup;
    struct kv_err err;
    struct kv_buf body;
    if (child->peer_fd < 0 || sup->children[0].channel == NULL) {
        return;
    }
    kv_buf_init(&body, 256);
    kv_message_str(&body, "role", kv_role_word(child->role));
    kv_message_str(&body, "slot", label(child));
    if (kv_channel_send(sup->children[0].channel, KV_FRAME_PEER, kv_buf_bytes(&body),
                        child->peer_fd, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "introduce", &err);
    }
    kv_buf_clear(&body);
    kv_close_fdp(&child->peer_fd);
}

static void give_listener(struct kv_supervisor *sup)
{
    struct kv_err err;
    if (kv_channel_send(sup->children[0].channel, KV_FRAME_LISTENER, KV_BYTES_NULL,
                        sup->listener.fd, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "listener", &err);
    }
}

/* Those that waited for the vault, or whose own time has not come since they died with it. */
static void bring_along(struct kv_supervisor *sup)
{
    for (size_t i = 1; i < sup->child_count; i++) {
        struct kv_child *child = &sup->children[i];
        if (child->latched != KV_OK) { /* the new vault hears why */
            kv_supervisor_tell(sup, child, child->latched, kv_code_row(child->latched)->what);
        } else if (child->pid == 0) {
            kv_timer_arm(child->respawn, 0);
        }
    }
}

void kv_child_start(struct kv_child *child)
{
    struct kv_supervisor *sup = child->sup;
    struct kv_err err;
    struct kv_buf body;
    if (sup->stopping || child->pid != 0 || child->latched != KV_OK) {
        return;
    }
    if (child->role != KV_ROLE_VAULT && sup->children[0].pid == 0) {
        return; /* nobody to be introduced to: the vault brings it along when it is there */
    }
    enum kv_code code = spawn(child, &err);
    if (code == KV_OK) {
        kv_buf_init(&body, 32768);
        kv_child_configuration(child, &body);
        int64_t timeout = child->role == KV_ROLE_KEEPER ? LOGIN_TIMEOUT_MS : READY_TIMEOUT_MS;
        code = kv_channel_ask(child->channel, KV_FRAME_CONFIGURE, kv_buf_bytes(&body), -1, timeout,
                              on_configured, child, &err);
        kv_buf_clear(&body);
    }
    if (code != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "start", &err);
        kv_supervisor_tell(sup, child, code, err.msg);
        child->latched = code == KV_E_PIN_AWAITED ? code : KV_OK;
        if (child->pid == 0 && child->latched == KV_OK) {
            later(child);
        }
        return;
    }
    if (child->role == KV_ROLE_VAULT) {
        give_listener(sup);
        bring_along(sup);
    } else {
        introduce(child);
    }
}

static void attest(struct kv_child *vault, const struct kv_frame *frame, int pidfd);

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd)
{
    struct kv_child *child = ctx;
    /* the table of frames lets only the vault send these */
    if (frame->op == KV_FRAME_ATTEST) {
        attest(child, frame, fd);
        return;
    }
    if (frame->op == KV_FRAME_SLOT_UNLOCK) {
        kv_supervisor_unlock(child->sup, channel, frame);
    } else if (frame->op == KV_FRAME_SLOT_HANGS) {
        kv_supervisor_slot_hangs(child->sup, frame);
    } else if (frame->op == KV_FRAME_STARTING) {
        kv_channel_extend(channel, child, READY_TIMEOUT_MS); /* its configuration's answer */
    }
    kv_close_fdp(&fd);
}

void kv_supervisor_attested(void *ctx, uint32_t request, enum kv_code code,
                            const struct kv_attestation *seen, const char *detail)
{
    const struct kv_supervisor *sup = ctx;
    struct kv_buf body;
    char hex[KV_HASH_HEX_LEN];
    kv_buf_init(&body, 2048);
    if (code == KV_OK) {
        kv_message_str(&body, "exe", seen->exe);
        kv_message_str(&body, "unit", seen->unit);
        kv_message_number(&body, "start", seen->start_ticks & KV_NUMBER_MAX);
        if (seen->has_exe_hash) {
            kv_hash_hex(&seen->exe_hash, hex);
            kv_message_str(&body, "exe-sha256", hex);
        }
    }
    kv_channel_reply(sup->children[0].channel, request, code, detail, kv_buf_bytes(&body));
    kv_buf_clear(&body);
}

static void attest(struct kv_child *vault, const struct kv_frame *frame, int pidfd)
{
    static const struct kv_field_spec specs[] = {{"uid", KV_FIELD_NUMBER, UINT32_MAX, true, NULL},
                                                 {"read", KV_FIELD_BOOLEAN, 1, true, NULL},
                                                 {NULL, KV_FIELD_END, 0, false, NULL}};
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (kv_message_read(frame->body, specs, field, &err) != KV_OK) {
        kv_channel_reply(vault->channel, frame->request, err.code, err.msg, KV_BYTES_NULL);
        kv_close_fdp(&pidfd);
        return;
    }
    kv_attestor_ask_take_fd(vault->sup->attestor, frame->request, pidfd, (uint32_t)field[0].number,
                            field[1].number != 0, ATTEST_WAIT_MS);
}

static struct kv_child *child_of(struct kv_supervisor *sup, pid_t pid)
{
    for (size_t i = 0; i < sup->child_count; i++) {
        if (sup->children[i].pid == pid) {
            return &sup->children[i];
        }
    }
    return NULL;
}

static bool any_left(const struct kv_supervisor *sup)
{
    for (size_t i = 0; i < sup->child_count; i++) {
        if (sup->children[i].pid != 0) {
            return true;
        }
    }
    return false;
}

static void hang_up(struct kv_child *child)
{
    kv_channel_free(child->channel);
    child->channel = NULL;
    kv_close_fdp(&child->peer_fd);
}

static void ended(struct kv_child *child, int status)
{
    struct kv_supervisor *sup = child->sup;
    kv_log(sup->stopping ? KV_LOG_INFO : KV_LOG_WARNING, "ended", "program=%s slot=%s %s=%d",
           kv_child_program(child->role), label(child), WIFSIGNALED(status) ? "signal" : "status",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    child->pid = 0;
    hang_up(child);
    /* its answer may have been overtaken by its end: the exit status says the same */
    if (child->latched == KV_OK && child->role == KV_ROLE_KEEPER && WIFEXITED(status) &&
        WEXITSTATUS(status) == KV_EXIT_REFUSED) {
        child->latched = KV_E_TOKEN_LATCHED;
    }
    if (sup->stopping) {
        return;
    }
    if (child->role == KV_ROLE_VAULT) {
        /* Nobody else holds the state: the others start anew with it. They end by themselves when
         * their channels do, a keeper only after its login. */
        kv_attestor_clear(sup->attestor);
        for (size_t i = 1; i < sup->child_count; i++) {
            hang_up(&sup->children[i]);
        }
    } else if (child->ready) {
        /* one that never came up has told why already */
        kv_supervisor_tell(sup, child, child->hangs ? KV_E_TOKEN_TIMEOUT : KV_E_STARTING,
                           child->hangs ? "the slot did not answer" : "restarting");
    }
    child->ready = child->hangs = false;
    if (child->latched == KV_OK) {
        later(child);
    }
}

void kv_supervisor_reap(struct kv_supervisor *sup)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct kv_child *child = child_of(sup, pid);
        if (child != NULL) {
            ended(child, status);
        }
    }
    if (sup->stopping && !any_left(sup)) {
        kv_loop_stop(sup->loop);
    }
}
