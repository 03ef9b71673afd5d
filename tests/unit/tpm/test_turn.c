/* Two slots in one chip that has no resource manager, each with a process of its own. */
#include "core/public.h"
#include "tests/unit/tpm/swtpm.h"
#include "tpm/pin.h"
#include "tpm/session.h"

#include <fcntl.h>

#define ROUNDS 10

static const struct kv_hash digest = {.b = {1, 2, 3}};

static void make_slot(const struct swtpm *tpm, const char *name, char folder[static 160])
{
    struct kv_err err = {.msg = ""};
    (void)snprintf(folder, 160, "%s/%s", tpm->dir, name);
    const struct kv_tpm_profile profile = {.tcti = tpm->tcti, .folder = folder};
    if (kv_tpm_init(&profile, name, tpm->pin, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
}

static struct kv_token *open_slot(const struct swtpm *tpm, const char *folder)
{
    struct kv_err err = {.msg = ""};
    struct kv_token *token = NULL;
    const struct kv_tpm_profile profile = {.tcti = tpm->tcti, .folder = folder};
    if (kv_tpm_open(&profile, tpm->pin, &token, &err) != KV_OK) {
        fail_msg("%s: %s", kv_code_word(err.code), err.msg);
    }
    return token;
}

static enum kv_code signs(struct kv_token *token, const struct kv_token_key *key,
                          struct kv_err *err)
{
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    enum kv_code code = kv_token_sign(token, key->handle, KV_TOKEN_ECDSA, &digest, sig, &len, err);
    if (code == KV_OK && !kv_public_verify(key, KV_TOKEN_ECDSA, &digest, kv_bytes(sig, len))) {
        return KV_REFUSE(err, KV_E_INTERNAL, "a wrong signature");
    }
    return code;
}

/* Each after the other, in a new login. */
static enum kv_code use(struct kv_token *token, bool first, struct kv_err *err)
{
    KV_CLEANUP(kv_secret_freep) struct kv_secret *plain = secret("a secret");
    struct kv_token_key key[2];
    enum kv_code code = KV_OK;
    for (int i = 0; i < 2 && code == KV_OK; i++) {
        const char *label = i == 0 ? "a" : "b";
        code = first ? kv_token_generate(token, label, KV_TOKEN_EC_P256, &key[i], err)
                     : kv_token_find(token, label, &key[i], err);
    }
    for (int i = 0; i < ROUNDS && code == KV_OK; i++) {
        KV_CLEANUP(kv_secret_freep) struct kv_secret *out = NULL;
        struct kv_buf box;
        kv_buf_init(&box, 4096);
        code = signs(token, &key[i % 2], err);
        if (code == KV_OK) {
            code =
                kv_token_wrap(token, "w", KV_TOKEN_RUNG_SEALED, kv_bytes_str(""), plain, &box, err);
        }
        if (code == KV_OK) {
            code = kv_token_unwrap(token, "w", KV_TOKEN_RUNG_SEALED, kv_bytes_str(""),
                                   kv_buf_bytes(&box), &out, err);
        }
        kv_buf_clear(&box);
    }
    return code;
}

/* What a keeper does, and what it does when it is started again: the status of a process. */
static int work(const struct swtpm *tpm, const char *folder)
{
    struct kv_err err = {.msg = ""};
    const struct kv_tpm_profile profile = {.tcti = tpm->tcti, .folder = folder};
    for (int start = 0; start < 3; start++) {
        struct kv_token *token = NULL;
        enum kv_code code = kv_tpm_open(&profile, tpm->pin, &token, &err);
        if (code == KV_OK) {
            code = use(token, start == 0, &err);
        }
        kv_token_close(token);
        if (code == KV_OK) {
            code = kv_tpm_change_pin(&profile, tpm->pin, tpm->pin, &err);
        }
        if (code != KV_OK) {
            (void)fprintf(stderr, "%s: %s: %s\n", folder, kv_code_word(code), err.msg);
            return 1;
        }
    }
    return 0;
}

/* What the keepers of PKCS#11 slots do at each start, whose PINs are sealed in the same chip. */
static enum kv_code seals(const struct swtpm *tpm, int rounds, struct kv_err *err)
{
    const struct kv_tpm_way way = {.tcti = tpm->tcti, .slots = tpm->dir};
    struct kv_tpm_pin sealed;
    enum kv_code code = kv_tpm_pin_seal(&way, "other", NULL, KV_BYTES_NULL, tpm->pin, &sealed, err);
    for (int i = 0; i < rounds && code == KV_OK; i++) {
        KV_CLEANUP(kv_secret_freep) struct kv_secret *out = NULL;
        code = kv_tpm_pin_unseal(&way, &sealed, &out, err);
    }
    return code;
}

static void start_sealing(const struct swtpm *tpm, pid_t *pid)
{
    *pid = fork();
    assert_true(*pid >= 0);
    if (*pid == 0) {
        struct kv_err err = {.msg = ""};
        enum kv_code code = seals(tpm, 2 * ROUNDS, &err);
        if (code != KV_OK) {
            (void)fprintf(stderr, "seal: %s: %s\n", kv_code_word(code), err.msg);
        }
        _exit(code == KV_OK ? 0 : 1);
    }
}

static void processes_work_in_one_chip_at_once(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    static char folder[2][160];
    pid_t pid[2 * KV_COUNT(folder)];
    for (size_t i = 0; i < KV_COUNT(folder); i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "slot-%zu", i);
        make_slot(tpm, name, folder[i]);
    }
    for (size_t i = 0; i < KV_COUNT(folder); i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0) {
            _exit(work(tpm, folder[i]));
        }
        start_sealing(tpm, &pid[KV_COUNT(folder) + i]);
    }
    for (size_t i = 0; i < KV_COUNT(pid); i++) {
        int status = -1;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(swtpm_left(tpm), 0);
    swtpm_free(tpm);
}

/* The order that would hurt most: what is loaded is another's, under the same number. */
static void a_slot_goes_on_after_anothers_turn(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    static char folder[2][160];
    struct kv_token *token[2];
    struct kv_token_key key[2];
    struct kv_err err = {.msg = ""};
    make_slot(tpm, "one", folder[0]);
    make_slot(tpm, "two", folder[1]);
    for (int i = 0; i < 2; i++) {
        token[i] = open_slot(tpm, folder[i]);
        assert_int_equal(kv_token_generate(token[i], "key", KV_TOKEN_EC_P256, &key[i], &err),
                         KV_OK);
    }
    for (int i = 0; i < 6; i++) {
        enum kv_code code = signs(token[i % 2], &key[i % 2], &err);
        if (code != KV_OK) {
            fail_msg("%s: %s", kv_code_word(code), err.msg);
        }
    }
    /* one that is killed leaves what it loaded */
    kv_token_close(token[0]);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct kv_tpm_profile profile = {.tcti = tpm->tcti, .folder = folder[0]};
        enum kv_code code = kv_tpm_open(&profile, tpm->pin, &token[0], &err);
        _exit(code == KV_OK && kv_token_find(token[0], "key", &key[0], &err) == KV_OK ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(swtpm_left(tpm), 3);
    assert_int_equal(signs(token[1], &key[1], &err), KV_OK);
    assert_int_equal(swtpm_held(kv_tpm_token(token[1])->chip.esys), 3);
    /* who is closed after another's turn takes nothing away */
    token[0] = open_slot(tpm, folder[0]);
    assert_int_equal(signs(token[1], &key[1], &err), KV_OK);
    kv_token_close(token[0]);
    assert_int_equal(signs(token[1], &key[1], &err), KV_OK);
    /* nor does who seals and unseals */
    assert_int_equal(seals(tpm, 1, &err), KV_OK);
    token[0] = open_slot(tpm, folder[0]);
    assert_int_equal(signs(token[1], &key[1], &err), KV_OK);
    /* whoever is closed last leaves nothing, also behind one who had nothing left to take away */
    kv_token_close(token[0]);
    kv_token_close(token[1]);
    assert_int_equal(swtpm_left(tpm), 0);
    swtpm_free(tpm);
}

/* Same chip, same label, same PIN: what differs is what the login unseals. */
static void a_key_of_another_slot_is_refused(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    static char folder[2][160];
    struct kv_secret *plain = secret("a secret"), *out = NULL;
    struct kv_token_key key;
    struct kv_err err = {.msg = ""};
    char name[KV_TPM_NAME_LEN], from[512], to[512];
    struct kv_buf box;
    kv_buf_init(&box, 4096);
    make_slot(tpm, "one", folder[0]);
    make_slot(tpm, "two", folder[1]);
    struct kv_token *token = open_slot(tpm, folder[0]);
    assert_int_equal(kv_token_generate(token, "key", KV_TOKEN_EC_P256, &key, &err), KV_OK);
    assert_int_equal(
        kv_token_wrap(token, "w", KV_TOKEN_RUNG_SEALED, kv_bytes_str(""), plain, &box, &err),
        KV_OK);
    kv_token_close(token);
    for (int i = 0; i < 2; i++) {
        kv_tpm_file_name(i == 0 ? "key" : "w", name);
        (void)snprintf(from, sizeof from, "%s/%s", folder[0], name);
        (void)snprintf(to, sizeof to, "%s/%s", folder[1], name);
        assert_int_equal(rename(from, to), 0);
    }
    token = open_slot(tpm, folder[1]);
    assert_int_equal(kv_token_find(token, "key", &key, &err), KV_E_TOKEN_KEY_DAMAGED);
    assert_int_equal(kv_token_unwrap(token, "w", KV_TOKEN_RUNG_SEALED, kv_bytes_str(""),
                                     kv_buf_bytes(&box), &out, &err),
                     KV_E_TOKEN_KEY_DAMAGED);
    assert_null(out);
    assert_int_equal(swtpm_held(kv_tpm_token(token)->chip.esys), 2);
    kv_token_close(token);
    kv_buf_clear(&box);
    kv_secret_free(plain);
    swtpm_free(tpm);
}

/* Whoever waits for a turn is not told of an absent chip or a wrong PIN. */
static void a_turn_that_does_not_end_is_waited_for(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_new();
    static char folder[160];
    struct kv_err err = {.msg = ""};
    struct kv_token_key key;
    int ready[2], done[2];
    char byte;
    make_slot(tpm, "one", folder);
    struct kv_token *token = open_slot(tpm, folder);
    assert_int_equal(kv_token_generate(token, "key", KV_TOKEN_EC_P256, &key, &err), KV_OK);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* with the lock of its own */
        struct kv_tpm_turn turn = {.fd = -1};
        bool alone;
        int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || kv_tpm_turn_open(dir, "..", &turn, NULL) != KV_OK ||
            kv_tpm_turn_take(&turn, &alone, NULL) != KV_OK || alone ||
            write(ready[1], "", 1) != 1 || read(done[0], &byte, 1) != 1) {
            _exit(1);
        }
        _exit(0); /* killed, as it were: the lock goes with it */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(write(done[1], "", 1), 1);
    assert_int_equal(signs(token, &key, &err), KV_OK);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    kv_token_close(token);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(close(ready[i]), 0);
        assert_int_equal(close(done[i]), 0);
    }
    swtpm_free(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_work_in_one_chip_at_once),
        cmocka_unit_test(a_slot_goes_on_after_anothers_turn),
        cmocka_unit_test(a_key_of_another_slot_is_refused),
        cmocka_unit_test(a_turn_that_does_not_end_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
