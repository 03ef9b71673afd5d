/* A chip that is killed, reset, or whose answer is lost at each single command of each operation;
 * one whose storage key is not ours alone; and one that is used for long. */
#include "core/public.h"
#include "tests/unit/tpm/swtpm.h"
#include "tpm/session.h"

#define SECRET       "20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|919f"
#define COMMANDS_MAX 64 /* of one operation */

static const struct kv_hash digest = {.b = {1, 2, 3}};

static struct kv_bytes aad(void)
{
    return kv_bytes_str("what it is for");
}

/* ---- the bus ---- */

enum fault {
    KILLED, /* before the command: it answers no more */
    RESET,  /* before the command: a power cut that was over at once */
    LOST,   /* the command is done, its answer does not arrive: what it made stays in the chip */
    FAULT_COUNT
};

static struct {
    TSS2_TCTI_TRANSMIT_FCN transmit;
    TSS2_TCTI_RECEIVE_FCN receive;
    struct swtpm *tpm;
    enum fault fault;
    int left; /* commands until the fault; 0: none is to come */
    bool losing, happened;
} bus;

static void exchange(const char *path, const uint8_t *command, size_t len)
{
    uint8_t answer[64];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(write(fd, command, len), (ssize_t)len);
    assert_true(read(fd, answer, sizeof answer) >= 4);
    assert_int_equal(close(fd), 0);
}

/* As a power cut does it: all that is loaded is gone, without TPM2_Shutdown before. */
static void reset(const struct swtpm *tpm)
{
    static const uint8_t init[] = {0, 0, 0, 2,
                                   0, 0, 0, 0}; /* CMD_INIT of swtpm's control channel */
    static const uint8_t startup[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0};
    char ctrl[sizeof tpm->socket + 8];
    (void)snprintf(ctrl, sizeof ctrl, "%s.ctrl", tpm->socket);
    exchange(ctrl, init, sizeof init);
    exchange(tpm->socket, startup, sizeof startup);
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
    if (bus.left > 0 && --bus.left == 0) {
        bus.happened = true;
        switch (bus.fault) {
        case KILLED: swtpm_kill(bus.tpm); break;
        case RESET: reset(bus.tpm); break;
        case LOST: bus.losing = true; break;
        case FAULT_COUNT: fail(); break;
        }
    }
    return bus.transmit(tcti, size, command);
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *answer, int32_t timeout)
{
    TSS2_RC rc = bus.receive(tcti, size, answer, timeout);
    if (bus.losing && answer != NULL) {
        bus.losing = false;
        return TSS2_TCTI_RC_IO_ERROR;
    }
    return rc;
}

/* NOLINTBEGIN: the linker's names */
TSS2_RC __real_Tss2_TctiLdr_Initialize(const char *name, TSS2_TCTI_CONTEXT **tcti);
TSS2_RC __wrap_Tss2_TctiLdr_Initialize(const char *name, TSS2_TCTI_CONTEXT **tcti);
TSS2_RC __wrap_Tss2_TctiLdr_Initialize(const char *name, TSS2_TCTI_CONTEXT **tcti)
{
    TSS2_RC rc = __real_Tss2_TctiLdr_Initialize(name, tcti);
    if (rc == TSS2_RC_SUCCESS) {
        bus.transmit = TSS2_TCTI_TRANSMIT(*tcti);
        bus.receive = TSS2_TCTI_RECEIVE(*tcti);
        TSS2_TCTI_TRANSMIT(*tcti) = transmit;
        TSS2_TCTI_RECEIVE(*tcti) = receive;
    }
    return rc;
}
/* NOLINTEND */

/* ---- operations ---- */

/* A slot with the signing keys a and b, and a box that its wrapping key w opens. */
struct slot {
    struct swtpm *tpm;
    struct kv_token *token;
    struct kv_secret *plain;
    struct kv_buf box;
};

static enum kv_code do_open(struct slot *s, struct kv_err *err)
{
    return kv_tpm_open(&s->tpm->profile, s->tpm->pin, &s->token, err);
}

static enum kv_code do_init(struct slot *s, struct kv_err *err)
{
    char folder[sizeof s->tpm->folder + 8];
    (void)snprintf(folder, sizeof folder, "%s-2", s->tpm->folder);
    const struct kv_tpm_profile other = {.tcti = s->tpm->tcti, .folder = folder};
    return kv_tpm_init(&other, "other", s->tpm->pin, err);
}

static enum kv_code do_generate(struct slot *s, struct kv_err *err)
{
    struct kv_token_key key;
    return kv_token_generate(s->token, "new", KV_TOKEN_EC_P256, &key, err);
}

static enum kv_code do_destroy(struct slot *s, struct kv_err *err)
{
    return kv_token_destroy(s->token, "new", err);
}

static enum kv_code do_sign(struct slot *s, struct kv_err *err)
{
    struct kv_token_key key;
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    enum kv_code code = kv_token_find(s->token, "a", &key, err);
    if (code == KV_OK) { /* the other key is in the chip now */
        code = kv_token_find(s->token, "b", &key, err);
    }
    if (code == KV_OK) {
        code = kv_token_find(s->token, "a", &key, err);
    }
    if (code == KV_OK) {
        code = kv_token_sign(s->token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &len, err);
    }
    assert_true(code != KV_OK ||
                kv_public_verify(&key, KV_TOKEN_ECDSA, &digest, kv_bytes(sig, len)));
    return code;
}

static enum kv_code wrap_under(struct slot *s, const char *label, struct kv_err *err)
{
    struct kv_buf box;
    kv_buf_init(&box, 4096);
    enum kv_code code =
        kv_token_wrap(s->token, label, KV_TOKEN_RUNG_SEALED, aad(), s->plain, &box, err);
    kv_buf_clear(&box);
    return code;
}

static enum kv_code do_wrap(struct slot *s, struct kv_err *err)
{
    return wrap_under(s, "w", err);
}

static enum kv_code do_wrap_first(struct slot *s, struct kv_err *err)
{
    return wrap_under(s, "new", err);
}

static enum kv_code do_unwrap(struct slot *s, struct kv_err *err)
{
    struct kv_secret *out = NULL;
    enum kv_code code = kv_token_unwrap(s->token, "w", KV_TOKEN_RUNG_SEALED, aad(),
                                        kv_buf_bytes(&s->box), &out, err);
    assert_true(code != KV_OK || kv_bytes_is(kv_secret_bytes(out), SECRET));
    kv_secret_free(out);
    return code;
}

static enum kv_code do_random(struct slot *s, struct kv_err *err)
{
    uint8_t bytes[40];
    return kv_token_random(s->token, bytes, sizeof bytes, err);
}

static const struct operation {
    const char *name;
    enum kv_code (*run)(struct slot *s, struct kv_err *err);
    bool closed; /* it begins without a login */
    bool full;   /* it begins with the key "new", and must remove it, chip or no chip */
} operations[] = {
    {.name = "open", .run = do_open, .closed = true},
    {.name = "init", .run = do_init, .closed = true},
    {.name = "generate", .run = do_generate},
    {.name = "sign", .run = do_sign},
    {.name = "wrap", .run = do_wrap},
    {.name = "wrap with a new key", .run = do_wrap_first},
    {.name = "unwrap", .run = do_unwrap},
    {.name = "random", .run = do_random},
    {.name = "destroy", .run = do_destroy, .full = true},
};

/* ---- at each command ---- */

static void must(const struct operation *op, int at, const char *what, enum kv_code code,
                 const struct kv_err *err)
{
    if (code != KV_OK) {
        fail_msg("%s, fault %d at command %d: then %s: %s %s", op->name, bus.fault, at, what,
                 kv_code_word(code), err->msg);
    }
}

/* The folder of the slot that is initialised goes again, so that the next try begins alike. */
static void forget_other(const struct slot *s)
{
    char path[sizeof s->tpm->folder + 16];
    static const char *const names[] = {"/token", "/lock", ""};
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        (void)snprintf(path, sizeof path, "%s-2%s", s->tpm->folder, names[i]);
        assert_int_equal(remove(path), 0);
    }
}

/* Whatever happened: after a new start all is there, and nothing half. */
static void all_is_well(struct slot *s, const struct operation *op, int at, enum kv_code was)
{
    struct kv_err err = {.msg = ""};
    size_t count = 0;
    if (s->tpm->pid == 0) {
        swtpm_start(s->tpm);
    }
    if (op->run == do_init) {
        enum kv_code again = do_init(s, &err);
        assert_int_equal(again, was == KV_OK ? KV_E_TOKEN_INITIALISED : KV_OK);
        forget_other(s);
    }
    must(op, at, "open", do_open(s, &err), &err);
    assert_int_equal(swtpm_held(kv_tpm_token(s->token)->chip.esys), 2);
    must(op, at, "sign", do_sign(s, &err), &err);
    must(op, at, "unwrap", do_unwrap(s, &err), &err);
    enum kv_code code = kv_token_destroy(s->token, "new", &err); /* made, or not at all */
    if (code != KV_OK && code != KV_E_TOKEN_KEY_MISSING) {
        must(op, at, "destroy", code, &err);
    }
    assert_true(!op->full || code == KV_E_TOKEN_KEY_MISSING);
    assert_true(op->run != do_generate || (code == KV_OK) == (was == KV_OK));
    assert_int_equal(kv_token_count(s->token, &count, NULL), KV_OK);
    assert_int_equal(count, 3);
}

/* True: the operation has no command of that number. */
static bool cut_at(struct slot *s, const struct operation *op, int at)
{
    struct kv_err err = {.msg = ""};
    if (op->full) {
        must(op, at, "generate", do_generate(s, &err), &err);
    }
    if (op->closed) {
        kv_token_close(s->token);
        s->token = NULL;
    }
    bus.left = at;
    bus.happened = bus.losing = false;
    enum kv_code code = op->run(s, &err);
    bus.left = 0;
    if (code != KV_OK && (!bus.happened || code != KV_E_TOKEN_ABSENT || op->full)) {
        must(op, at, "itself", code, &err);
    }
    kv_token_close(s->token);
    s->token = NULL;
    assert_true(s->tpm->pid == 0 || bus.fault == LOST || swtpm_left(s->tpm) == 0);
    all_is_well(s, op, at, code);
    return !bus.happened;
}

static void a_fault_at_any_command_is_told_and_breaks_nothing(void **state)
{
    (void)state;
    struct kv_token_key key;
    struct slot s = {.tpm = swtpm_ready(), .plain = secret(SECRET)};
    int commands = 0;
    bus.tpm = s.tpm;
    s.token = swtpm_open(s.tpm);
    assert_int_equal(kv_token_generate(s.token, "a", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    assert_int_equal(kv_token_generate(s.token, "b", KV_TOKEN_EC_P256, &key, NULL), KV_OK);
    kv_buf_init(&s.box, 4096);
    assert_int_equal(
        kv_token_wrap(s.token, "w", KV_TOKEN_RUNG_SEALED, aad(), s.plain, &s.box, NULL), KV_OK);
    for (size_t i = 0; i < KV_COUNT(operations); i++) {
        for (bus.fault = 0; bus.fault < FAULT_COUNT; bus.fault++) {
            int at = 1;
            while (!cut_at(&s, &operations[i], at)) {
                at++;
                assert_true(at < COMMANDS_MAX);
            }
            commands += at - 1;
        }
    }
    assert_true(commands > 60); /* the faults happened */
    kv_token_close(s.token);
    kv_buf_clear(&s.box);
    kv_secret_free(s.plain);
    swtpm_free(s.tpm);
}

/* ---- a password that is not ours ---- */

/* Put the storage key, with a password, at its standard place, and the owner's password on. */
static void lock_storage_key(const struct swtpm *tpm)
{
    static const TPM2B_SENSITIVE_CREATE locked = {
        .sensitive.userAuth = {.size = 4, .buffer = "boss"}};
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcr;
    struct kv_tpm_chip chip;
    TPM2B_PUBLIC *template = NULL;
    ESYS_TR key = ESYS_TR_NONE, kept = ESYS_TR_NONE;
    assert_int_equal(kv_tpm_chip_open(tpm->tcti, &chip, NULL), KV_OK);
    assert_int_equal(Esys_ReadPublic(chip.esys, chip.primary, ESYS_TR_NONE, ESYS_TR_NONE,
                                     ESYS_TR_NONE, &template, NULL, NULL),
                     TSS2_RC_SUCCESS);
    template->publicArea.unique.ecc = (TPMS_ECC_POINT){.x.size = 32, .y.size = 32};
    assert_int_equal(Esys_CreatePrimary(chip.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &locked, template, &no_data, &no_pcr, &key,
                                        NULL, NULL, NULL, NULL),
                     TSS2_RC_SUCCESS);
    assert_int_equal(Esys_EvictControl(chip.esys, ESYS_TR_RH_OWNER, key, ESYS_TR_PASSWORD,
                                       ESYS_TR_NONE, ESYS_TR_NONE, 0x81000001, &kept),
                     TSS2_RC_SUCCESS);
    assert_int_equal(Esys_HierarchyChangeAuth(chip.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD,
                                              ESYS_TR_NONE, ESYS_TR_NONE,
                                              &locked.sensitive.userAuth),
                     TSS2_RC_SUCCESS);
    Esys_Free(template);
    kv_tpm_chip_flush(&chip, &key);
    kv_tpm_chip_clear(&chip);
}

/* Else the slot would be latched, and its PIN changed in vain. */
static void a_password_of_the_storage_key_is_no_wrong_pin(void **state)
{
    (void)state;
    struct swtpm *tpm = swtpm_ready();
    struct kv_err err = {.msg = ""};
    lock_storage_key(tpm);
    assert_int_equal(swtpm_try(tpm, USER_PIN, &err), KV_E_TOKEN_OWNER);
    swtpm_free(tpm);
}

/* ---- for long ---- */

static void nothing_is_left_after_many_operations(void **state)
{
    (void)state;
    struct kv_token_key key[2];
    struct slot s = {.tpm = swtpm_ready(), .plain = secret(SECRET)};
    struct kv_err err = {.msg = ""};
    uint8_t sig[KV_TOKEN_SIG_MAX];
    s.token = swtpm_open(s.tpm);
    struct kv_tpm_token *inside = kv_tpm_token(s.token);
    assert_int_equal(kv_token_generate(s.token, "a", KV_TOKEN_EC_P256, &key[0], NULL), KV_OK);
    assert_int_equal(kv_token_generate(s.token, "b", KV_TOKEN_EC_P256, &key[1], NULL), KV_OK);
    kv_buf_init(&s.box, 4096);
    assert_int_equal(
        kv_token_wrap(s.token, "w", KV_TOKEN_RUNG_SEALED, aad(), s.plain, &s.box, NULL), KV_OK);
    for (int i = 0; i < OPERATIONS; i++) {
        size_t len = sizeof sig;
        /* each signature needs another key than the one before, so it loads it */
        enum kv_code code = i % 4 == 3 ? do_unwrap(&s, &err)
                                       : kv_token_sign(s.token, key[i % 2].handle, KV_TOKEN_ECDSA,
                                                       &digest, sig, &len, &err);
        if (code != KV_OK) {
            fail_msg("operation %d: %s %s", i, kv_code_word(code), err.msg);
        }
        if (i % 100 == 0) { /* storage key, one key, one session (counted as loaded) */
            assert_true(swtpm_held(inside->chip.esys) <= 3);
        }
    }
    kv_token_close(s.token);
    assert_int_equal(swtpm_left(s.tpm), 0);
    kv_buf_clear(&s.box);
    kv_secret_free(s.plain);
    swtpm_free(s.tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_at_any_command_is_told_and_breaks_nothing),
        cmocka_unit_test(a_password_of_the_storage_key_is_no_wrong_pin),
        cmocka_unit_test(nothing_is_left_after_many_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
