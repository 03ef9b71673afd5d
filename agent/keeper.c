/* ksefvault-keeper: the process. One slot, one login; what it answers is in keeper_answer.c and
 * keeper_codes.c. */
#include "agent/keeper.h"

#include "agent/program.h"
#include "agent/sandbox.h"

#include "core/config.h"
#include "core/log.h"
#include "core/name.h"
#include "core/parse.h"
#include "core/secret.h"
#include "pkcs11/pin.h"
#include "pkcs11/token.h"
#include "tpm/pin.h"
#include "tpm/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX  1024
#define PATHS_MAX 24

/* A token that is gone is found again by starting anew: one login per process. */
void keeper_give_up_if_gone(struct keeper *k, enum kv_code code)
{
    uint8_t byte;
    struct kv_err err;
    bool gone = code == KV_E_TOKEN_ABSENT || code == KV_E_TOKEN_MODULE;
    if (code == KV_E_TOKEN) { /* only this operation, or everything? a module has many words */
        gone = kv_token_random(k->token, &byte, 1, &err) != KV_OK;
    }
    if (gone) {
        kv_log(KV_LOG_WARNING, "token-gone", "code=%s", kv_code_word(code));
        kv_loop_stop(k->loop);
    }
}

void keeper_reply(struct keeper *k, enum kv_frame_op op, uint32_t request, const struct kv_buf *out,
                  const struct kv_err *err)
{
    if (out == NULL) {
        kv_log_err(KV_LOG_ERROR, kv_frame_row(op)->word, err);
        kv_channel_reply(k->vault, request, err->code, err->msg, KV_BYTES_NULL);
    } else {
        kv_channel_reply(k->vault, request, KV_OK, "", kv_buf_bytes(out));
    }
}

static void on_question(struct keeper *k, const struct kv_frame *frame)
{
    struct kv_err err = {.msg = ""};
    struct kv_buf out;
    if (k->token == NULL) {
        kv_channel_reply(k->vault, frame->request, KV_E_STARTING, "the slot is being opened",
                         KV_BYTES_NULL);
        return;
    }
    if (frame->op == KV_FRAME_SIGN_CODES) {
        keeper_codes_add(k, frame);
        return;
    }
    kv_buf_init(&out, KV_FRAME_BODY_MAX);
    enum kv_code code = keeper_answer(k, frame, &out, &err);
    keeper_reply(k, frame->op, frame->request, code == KV_OK ? &out : NULL, &err);
    kv_buf_clear(&out);
    keeper_give_up_if_gone(k, code);
}

/* ---- start ---- */

enum {
    C_VAULT,
    C_STATE,
    C_SLOT,
    C_MODULE,
    C_URI,
    C_SHA256,
    C_INIT_ARGS,
    C_TPM,
    C_ROOTS,
    C_NETWORK,
    C_PIN_TPM,
    C_PROTECTED,
    C_ENVIRONMENT,
    C_READABLE,
    C_WRITABLE,
    C_COUNT
};
static const struct kv_field_spec config_specs[] = {
    [C_VAULT] = {"vault", KV_FIELD_STRING, KV_VAULT_LEN - 1, true, NULL},
    [C_STATE] = {"state", KV_FIELD_STRING, TEXT_MAX, true, NULL},
    [C_SLOT] = {"slot", KV_FIELD_STRING, KV_ID_LEN - 1, true, NULL},
    [C_MODULE] = {"module", KV_FIELD_STRING, TEXT_MAX, false, NULL},
    [C_URI] = {"uri", KV_FIELD_STRING, TEXT_MAX, false, NULL},
    [C_SHA256] = {"module-sha256", KV_FIELD_STRING, 64, false, NULL},
    [C_INIT_ARGS] = {"init-args", KV_FIELD_STRING, TEXT_MAX, false, NULL},
    [C_TPM] = {"tpm", KV_FIELD_STRING, TEXT_MAX, false, NULL},
    [C_ROOTS] = {"tpm-roots", KV_FIELD_STRING, TEXT_MAX, false, NULL},
    [C_NETWORK] = {"network", KV_FIELD_STRING, TEXT_MAX, false, NULL},
    [C_PIN_TPM] = {"pin-tpm", KV_FIELD_STRING, TEXT_MAX, false, NULL},
    [C_PROTECTED] = {"protected", KV_FIELD_BOOLEAN, 1, true, NULL},
    [C_ENVIRONMENT] = {"environment", KV_FIELD_ARRAY, 16, true, NULL},
    [C_READABLE] = {"readable", KV_FIELD_ARRAY, 16, true, NULL},
    [C_WRITABLE] = {"writable", KV_FIELD_ARRAY, 16, true, NULL},
    [C_COUNT] = {NULL, KV_FIELD_END, 0, false, NULL}};

/* Texts of an array, copied; they live as long as the process. */
static size_t texts(struct kv_bytes array, const char **out, size_t max)
{
    struct kv_cursor cur = kv_cursor(array);
    struct kv_field field;
    size_t count = 0;
    while (count < max && kv_message_next(&cur, &field)) {
        char *text = field.type == KV_FIELD_STRING ? calloc(1, field.value.len + 1) : NULL;
        if (text != NULL && kv_field_copy(&field, text, field.value.len + 1)) {
            out[count++] = text;
        } else {
            free(text);
        }
    }
    return count;
}

static void set_environment(struct kv_bytes array)
{
    const char *pairs[16];
    size_t count = texts(array, pairs, KV_COUNT(pairs));
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(pairs[i], '=');
        char name[128];
        size_t len = equals == NULL ? 0 : (size_t)(equals - pairs[i]);
        if (len > 0 && len < sizeof name) {
            memcpy(name, pairs[i], len);
            name[len] = '\0';
            (void)setenv(name, equals + 1, 1); /* out of memory shows when the module starts */
        }
    }
}

/* `none`, `unix:PATH`, `tcp:HOST:PORT`, `usb` */
static enum kv_code network(const char *text, struct kv_sandbox_paths *paths, struct kv_err *err)
{
    uint64_t port;
    if (text[0] == '\0' || strcmp(text, "none") == 0 || strcmp(text, "usb") == 0) {
        return KV_OK;
    }
    if (strncmp(text, "unix:/", 6) == 0) {
        paths->unix_sockets = true;
        return KV_OK;
    }
    const char *colon = strrchr(text, ':');
    if (strncmp(text, "tcp:", 4) == 0 && colon > text + 4 &&
        kv_parse_u64(kv_bytes_str(colon + 1), UINT16_MAX, &port) && port > 0) {
        paths->connect_port = (uint16_t)port;
        return KV_OK;
    }
    return KV_REFUSE(err, KV_E_CONFIG, "network is none, usb, unix:/PATH or tcp:HOST:PORT");
}

static enum kv_code reach(const char *net, const char *tpm, struct kv_sandbox_paths *paths,
                          struct kv_err *err)
{
    if (tpm[0] == '\0') {
        return network(net, paths, err);
    }
    return kv_tpm_way_needs(tpm, &paths->unix_sockets, &paths->connect_port)
               ? KV_OK
               : KV_REFUSE(err, KV_E_CONFIG, "'%.80s' is no way to a TPM that is known", tpm);
}

static enum kv_code confine(const struct kv_field *field, const char *state, const char *net,
                            const char *tpm, struct kv_err *err)
{
    static const char *readable[PATHS_MAX + 1] = {
        "/etc/ssl",   "/etc/pkcs11",  "/usr/lib",          "/lib",
        "/proc/self", "/dev/urandom", "/usr/share/p11-kit"};
    static const char *writable[PATHS_MAX + 1];
    static char own[TEXT_MAX + 16];
    struct kv_sandbox_paths paths = {.readable = readable, .writable = writable};
    size_t r = 7, w = 0;
    int n = snprintf(own, sizeof own, "%s/keeper", state);
    assert(n > 0 && (size_t)n < sizeof own);
    writable[w++] = own;
    (void)texts(field[C_READABLE].value, readable + r, PATHS_MAX - r);
    (void)texts(field[C_WRITABLE].value, writable + w, PATHS_MAX - w);
    if (reach(net, tpm, &paths, err) != KV_OK) {
        return err->code;
    }
    return kv_sandbox_enter(KV_ROLE_KEEPER, &paths, err);
}

/* A refused PIN is never tried again by itself, whoever restarts: the mark lies on disk until root
 * unlocks the slot. */
static void mark_path(const char *lock_dir, const char *slot, const char *mark, char *out,
                      size_t size)
{
    int n = snprintf(out, size, "%s/%s.%s", lock_dir, slot, mark);
    assert(n > 0 && (size_t)n < size);
}

static bool latched(const char *path)
{
    return access(path, F_OK) == 0;
}

static void latch(const char *path)
{
    KV_CLEANUP(kv_close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fsync(fd) != 0) {
        kv_log(KV_LOG_ERROR, "latch", "path=%s", path);
    }
}

/* Root has asked for one try, although the token may report an earlier wrong PIN. The mark is gone
 * before that try, on disk too: whatever happens, there is no second one. */
static bool take_unlocked(const char *path, const char *folder)
{
    if (unlink(path) != 0) {
        return false;
    }
    KV_CLEANUP(kv_close_fdp) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

static enum kv_code open_tpm(struct keeper *k, const char *state, const char *slot,
                             const char *tcti, const char *roots, const struct kv_secret *pin,
                             struct kv_err *err)
{
    char folder[TEXT_MAX + 128];
    struct kv_tpm_profile profile = {.tcti = tcti, .folder = folder, .roots = roots};
    if (pin == NULL || !kv_config_tpm_folder(state, slot, folder, sizeof folder)) {
        return KV_REFUSE(err, KV_E_CONFIG, "slot %s: a path is too long, or the PIN is missing",
                         slot);
    }
    return kv_tpm_open(&profile, pin, &k->token, err);
}

/* That way is closed again before there is a module in this process, and the sandbox leaves it
 * shut. */
static enum kv_code unseal(const char *tpm, const char *state, const struct kv_tpm_pin *sealed,
                           struct kv_secret **out, struct kv_err *err)
{
    char slots[TEXT_MAX + 128];
    const struct kv_tpm_way way = {.tcti = tpm, .slots = slots};
    bool fits = kv_config_tpm_folder(state, "", slots, sizeof slots);
    assert(fits); /* as that of the state does */
    if (!kv_tpm_way_managed(tpm) && mkdir(slots, 0700) != 0 && errno != EEXIST) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot make the folder %.120s", slots);
    }
    return kv_tpm_pin_unseal(&way, sealed, out, err);
}

/* The PIN itself, or a sealed one, which `tpm` opens. */
static enum kv_code read_pin(const char *tpm, const char *state, const char *slot,
                             struct kv_secret **out, struct kv_err *err)
{
    struct kv_tpm_pin sealed;
    enum kv_code code = tpm[0] == '\0' ? kv_pin_read_fd(KV_FD_PIN, out, err)
                                       : kv_tpm_pin_read_fd(KV_FD_PIN, slot, &sealed, err);
    (void)close(KV_FD_PIN); /* read, and never again */
    return code == KV_OK && tpm[0] != '\0' ? unseal(tpm, state, &sealed, out, err) : code;
}

static enum kv_code open_token(struct keeper *k, const struct kv_field *field, const char *state,
                               struct kv_err *err)
{
    static char text[C_COUNT][TEXT_MAX + 1];
    static char lock_dir[TEXT_MAX + 16], latch_file[TEXT_MAX + 128], unlocked[TEXT_MAX + 128];
    const char *writable[16];
    KV_CLEANUP(kv_secret_freep) struct kv_secret *pin = NULL;
    for (int i = 0; i < C_PROTECTED; i++) {
        bool fits = field[i].type == 0 || kv_field_copy(&field[i], text[i], sizeof text[i]);
        assert(fits); /* the table's limits */
    }
    int n = snprintf(lock_dir, sizeof lock_dir, "%s/keeper", state);
    assert(n > 0 && (size_t)n < sizeof lock_dir);
    mark_path(lock_dir, text[C_SLOT], "latched", latch_file, sizeof latch_file);
    mark_path(lock_dir, text[C_SLOT], "unlocked", unlocked, sizeof unlocked);
    if (latched(latch_file)) {
        return KV_REFUSE(err, KV_E_TOKEN_LATCHED, "slot %s: its PIN was refused", text[C_SLOT]);
    }
    if (field[C_PROTECTED].number == 0) {
        enum kv_code read = read_pin(text[C_PIN_TPM], state, text[C_SLOT], &pin, err);
        if (read != KV_OK) {
            return read;
        }
    }
    size_t count = texts(field[C_WRITABLE].value, writable, KV_COUNT(writable));
    struct kv_pkcs11_profile profile = {
        .module = text[C_MODULE],
        .module_sha256 = field[C_SHA256].type == 0 ? NULL : text[C_SHA256],
        .uri = text[C_URI],
        .init_args = field[C_INIT_ARGS].type == 0 ? NULL : text[C_INIT_ARGS],
        .lock_dir = lock_dir,
        .writable = writable,
        .writable_count = count,
        .allow_low = take_unlocked(unlocked, lock_dir)};
    enum kv_code code = field[C_TPM].type != 0
                            ? open_tpm(k, state, text[C_SLOT], text[C_TPM],
                                       field[C_ROOTS].type == 0 ? NULL : text[C_ROOTS], pin, err)
                            : kv_pkcs11_open(&profile, pin, &k->token, err);
    if (code == KV_E_TOKEN_PIN || code == KV_E_TOKEN_PIN_LOCKED) {
        latch(latch_file);
    }
    if (code == KV_OK) {
        code = keeper_secrets_open(k, lock_dir, err);
    }
    return code == KV_OK ? confine(field, state, text[C_NETWORK], text[C_TPM], err) : code;
}

static enum kv_code configure(struct keeper *k, const struct kv_frame *frame, struct kv_err *err)
{
    struct kv_field field[KV_FIELDS_MAX];
    char state[256];
    if (kv_message_read(frame->body, config_specs, field, err) != KV_OK) {
        return err->code;
    }
    bool fits = kv_field_copy(&field[C_VAULT], k->vault_name, sizeof k->vault_name);
    assert(fits);
    if (!kv_field_copy(&field[C_STATE], state, sizeof state)) {
        return KV_REFUSE(err, KV_E_CONFIG, "state: the path is too long");
    }
    set_environment(field[C_ENVIRONMENT].value);
    return open_token(k, field, state, err);
}

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd)
{
    struct keeper *k = ctx;
    kv_close_fdp(&fd); /* the table of frames lets none through */
    if (frame->op != KV_FRAME_CONFIGURE) {
        on_question(k, frame);
        return;
    }
    struct kv_err err = {.msg = ""};
    enum kv_code code = configure(k, frame, &err);
    if (code != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "slot", &err);
    }
    kv_channel_reply(channel, frame->request, code, code == KV_OK ? "" : err.msg, KV_BYTES_NULL);
    if (code != KV_OK) {
        k->failed = code;
        kv_loop_stop(k->loop); /* the supervisor decides whether to start another */
    }
}

static void on_gone(void *ctx, struct kv_channel *channel)
{
    struct keeper *k = ctx;
    (void)channel; /* without supervisor or vault there is nothing to do */
    kv_loop_stop(k->loop);
}

int main(int argc, char **argv)
{
    struct kv_err err;
    struct keeper keeper = {.wrapped_dir = -1};
    kv_program_args(argc, argv, "ksefvault-keeper",
                    "keys and signatures of the KSeF credential agent");
    keeper.loop = kv_program_start("ksefvault-keeper");
    if (kv_channel_new_take_fd(keeper.loop, KV_FD_VAULT, KV_ROLE_KEEPER, KV_ROLE_VAULT, on_frame,
                               on_gone, &keeper, &keeper.vault, &err) != KV_OK ||
        kv_channel_new_take_fd(keeper.loop, KV_FD_SUPERVISOR, KV_ROLE_KEEPER, KV_ROLE_SUPERVISOR,
                               on_frame, on_gone, &keeper, &keeper.supervisor, &err) != KV_OK) {
        kv_program_die(&err);
    }
    kv_channel_eager(keeper.vault);
    kv_loop_on_turn(keeper.loop, keeper_codes_collect, &keeper);
    if (kv_loop_run(keeper.loop, &err) != KV_OK) {
        kv_program_die(&err);
    }
    keeper_codes_end(&keeper);
    kv_seal_key_free(keeper.transport);
    kv_token_close(keeper.token);
    return (int)kv_code_row(keeper.failed)->exit; /* refused (3): not to be tried again */
}
