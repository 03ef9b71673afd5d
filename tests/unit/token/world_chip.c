/* One TPM in software, twice: through the PKCS#11 module of tpm2-pkcs11, and by our own hand. */
#include "pkcs11/admin.h"
#include "pkcs11/token.h"
#include "tests/unit/token/world.h"
#include "tests/unit/tpm/swtpm.h"

#include <glob.h>
#include <tss2/tss2_tctildr.h>

#define BROKER "tabrmd:bus_type=session"

struct chip {
    struct swtpm *tpm;
    pid_t bus, broker; /* 0: not running */
    char module[256];
    struct kv_pkcs11_profile profile;
};

static void stop(pid_t *pid)
{
    if (*pid > 0) {
        assert_int_equal(kill(*pid, SIGKILL), 0);
        assert_int_equal(waitpid(*pid, NULL, 0), *pid);
        *pid = 0;
    }
}

static void chip_free(void *made)
{
    struct chip *chip = made;
    stop(&chip->broker);
    stop(&chip->bus);
    swtpm_free(chip->tpm);
    free(chip);
}

/* ---- through tpm2-pkcs11 ---- */

static pid_t spawn(char *const argv[])
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || freopen("/dev/null", "w", stderr) == NULL ||
            freopen("/dev/null", "w", stdout) == NULL) {
            _exit(126);
        }
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    return pid;
}

static void await(bool (*there)(const char *what), const char *what, pid_t pid)
{
    const struct timespec step = {.tv_nsec = 10 * 1000000L};
    int status;
    for (int i = 0; i < 1000; i++) {
        if (there(what)) {
            return;
        }
        if (waitpid(pid, &status, WNOHANG) == pid) {
            fail_msg("%s: its server ended with %d; is it installed?", what, status);
        }
        (void)nanosleep(&step, NULL);
    }
    fail_msg("%s does not answer", what);
}

/* In a process of its own: the broker's library has a thread, which no later child would have. */
static bool answers(const char *tcti)
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        TSS2_TCTI_CONTEXT *context = NULL;
        bool quiet = freopen("/dev/null", "w", stderr) != NULL;
        _exit(quiet && Tss2_TctiLdr_Initialize(tcti, &context) == TSS2_RC_SUCCESS ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status == 0;
}

/* This module keeps every key that was used in the chip, which has room for three objects: it needs
 * a resource manager. A real chip has the kernel's, /dev/tpmrm0; swtpm gets tpm2-abrmd. */
static void manage(struct chip *chip)
{
    char config[128], config_option[160], bus[128], address[160], tcti[160];
    (void)snprintf(config, sizeof config, "%s/bus.conf", chip->tpm->dir);
    (void)snprintf(config_option, sizeof config_option, "--config-file=%s", config);
    (void)snprintf(bus, sizeof bus, "%s/bus", chip->tpm->dir);
    (void)snprintf(address, sizeof address, "unix:path=%s", bus);
    (void)snprintf(tcti, sizeof tcti, "--tcti=%s", chip->tpm->tcti);
    FILE *file = fopen(config, "we");
    assert_non_null(file);
    (void)fprintf(file,
                  "<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth>"
                  "<policy context='default'><allow send_destination='*'/><allow own='*'/>"
                  "<allow receive_sender='*'/></policy></busconfig>",
                  address);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(setenv("DBUS_SESSION_BUS_ADDRESS", address, 1), 0);
    chip->bus =
        spawn((char *[]){(char[]){"dbus-daemon"}, config_option, (char[]){"--nofork"}, NULL});
    await(swtpm_listens, bus, chip->bus);
    chip->broker = spawn((char *[]){(char[]){"tpm2-abrmd"}, (char[]){"--session"},
                                    (char[]){"--allow-root"}, tcti, NULL});
    await(answers, BROKER, chip->broker);
}

static void *tpm2_pkcs11_ready(void)
{
    struct chip *chip = calloc(1, sizeof *chip);
    glob_t found;
    assert_non_null(chip);
    if (glob("/usr/lib/*/pkcs11/libtpm2_pkcs11.so", 0, NULL, &found) != 0) {
        free(chip);
        print_message("skipped: tpm2-pkcs11 is not installed\n");
        skip();
    }
    (void)snprintf(chip->module, sizeof chip->module, "%s", found.gl_pathv[0]);
    globfree(&found);
    chip->tpm = swtpm_new();
    manage(chip);
    assert_int_equal(setenv("TPM2_PKCS11_STORE", chip->tpm->dir, 1), 0);
    assert_int_equal(setenv("TPM2_PKCS11_TCTI", BROKER, 1), 0);
    assert_int_equal(setenv("TSS2_LOG", "all+none", 1), 0);
    chip->profile = (struct kv_pkcs11_profile){
        .module = chip->module, .uri = "pkcs11:token=unit", .lock_dir = chip->tpm->dir};
    struct kv_slot_account account = {.uid = geteuid(), .gid = getegid()};
    KV_CLEANUP(kv_secret_freep) struct kv_secret *so_pin = secret("0815-officer");
    struct kv_err err = {.msg = ""};
    if (kv_slot_init(&chip->profile, &account, "unit", so_pin, chip->tpm->pin, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    return chip;
}

static enum kv_code tpm2_pkcs11_open(void *made, const char *pin, struct kv_token **out,
                                     struct kv_err *err)
{
    const struct chip *chip = made;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *given = secret(pin);
    return kv_pkcs11_open(&chip->profile, given, out, err);
}

const struct token_world world_tpm2_pkcs11 = {
    .name = "tpm2-pkcs11",
    .title = "tpm2-pkcs11 over swtpm",
    /* its RSA keys sign by decrypting, which a key that only signs does not do */
    .signs = {[KV_TOKEN_ECDSA] = true},
    .no_key = KV_E_TOKEN,
    .best = KV_TOKEN_RUNG_COUNT,
    .local_told = true,
    .custody = KV_CUSTODY_SOFTWARE,
    .custody_why = "TPM in software",
    .after_destroying = KV_E_TOKEN, /* a handle of another object */
    .after_wrong_pin = KV_OK,
    .objects = 2,
    .leaks = true,
    .ready = tpm2_pkcs11_ready,
    .open = tpm2_pkcs11_open,
    .free = chip_free,
    .pin = USER_PIN,
};

/* ---- by our own hand ---- */

static void *tpm_ready(void)
{
    struct chip *chip = calloc(1, sizeof *chip);
    assert_non_null(chip);
    chip->tpm = swtpm_ready();
    return chip;
}

static enum kv_code tpm_open(void *made, const char *pin, struct kv_token **out, struct kv_err *err)
{
    const struct chip *chip = made;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *given = secret(pin);
    return kv_tpm_open(&chip->tpm->profile, given, out, err);
}

/* As on a host whose resource manager is a daemon: nothing in the chip is ours to flush. */
static void *tabrmd_ready(void)
{
    struct chip *chip = tpm_ready();
    manage(chip);
    chip->tpm->profile.tcti = BROKER;
    return chip;
}

#define OFFERS_OF_TPM                                                                              \
    .signs = {true, true, true}, .rungs = {[KV_TOKEN_RUNG_SEALED] = true},                         \
    .best = KV_TOKEN_RUNG_SEALED, .local_told = true, .custody = KV_CUSTODY_SOFTWARE,              \
    .custody_why = "TPM in software", .after_wrong_pin = KV_OK, .objects = 1, .open = tpm_open,    \
    .free = chip_free, .pin = USER_PIN

const struct token_world world_tpm = {
    .name = "tpm",
    .title = "TPM 2.0 (`tpm:`) over swtpm",
    OFFERS_OF_TPM,
    .ready = tpm_ready,
};

const struct token_world world_tabrmd = {
    .name = "tpm-tabrmd",
    .title = "TPM 2.0 (`tpm:`) over tpm2-abrmd and swtpm",
    OFFERS_OF_TPM,
    .leaks = true, /* of the bus's library */
    .ready = tabrmd_ready,
};
