/* A TPM in software of the test's own, in a temporary folder. It has no resource manager, so what
 * is left in it stays: three objects are all that fit. */
#ifndef KV_TESTS_UNIT_TPM_SWTPM_H
#define KV_TESTS_UNIT_TPM_SWTPM_H

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <tss2/tss2_tctildr.h>

#include "tests/unit/kv_test.h"
#include "tpm/chip.h"
#include "tpm/token.h"

#define USER_PIN "a long PIN, which a TPM needs"

/* tpm2-tss makes a context of OpenSSL, with all its algorithms, for each single hash: most of the
 * time of these tests, and far more of it if a sanitizer watches every allocation. They give it one
 * that is there already. (The linker lets libtss2 find these before those of libcrypto.) */
__attribute__((visibility("default"))) OSSL_LIB_CTX *OSSL_LIB_CTX_new(void)
{
    return OSSL_LIB_CTX_get0_global_default();
}

__attribute__((visibility("default"))) void OSSL_LIB_CTX_free(OSSL_LIB_CTX *context)
{
    (void)context;
}

struct swtpm {
    char dir[64], state[96], socket[96], tcti[128], folder[96];
    pid_t pid;
    struct kv_tpm_profile profile;
    struct kv_secret *pin;
};

static inline struct kv_secret *secret(const char *text)
{
    struct kv_secret *out = NULL;
    assert_int_equal(kv_secret_from(kv_bytes_str(text), &out, NULL), KV_OK);
    return out;
}

/* A file that is there need not be listened at yet. */
static inline bool swtpm_listens(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_true((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s", path) <
                sizeof address.sun_path);
    bool listens = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    assert_int_equal(close(fd), 0);
    return listens;
}

static inline void swtpm_start(struct swtpm *tpm)
{
    char state[128], server[160], ctrl[160], ctrl_path[140];
    const struct timespec step = {.tv_nsec = 10 * 1000000L};
    (void)snprintf(state, sizeof state, "dir=%s", tpm->state);
    (void)snprintf(server, sizeof server, "type=unixio,path=%s", tpm->socket);
    (void)snprintf(ctrl, sizeof ctrl, "type=unixio,path=%s.ctrl", tpm->socket);
    (void)snprintf(ctrl_path, sizeof ctrl_path, "%s.ctrl", tpm->socket);
    (void)unlink(tpm->socket);
    (void)unlink(ctrl_path);
    tpm->pid = fork();
    assert_true(tpm->pid >= 0);
    if (tpm->pid == 0) {
        /* it goes with the test, also with one that failed */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
            _exit(126);
        }
        if (freopen("/dev/null", "w", stderr) == NULL) { /* it tells of each connection */
            _exit(126);
        }
        (void)execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server,
                     "--ctrl", ctrl, "--flags", "not-need-init,startup-clear", (char *)NULL);
        _exit(127);
    }
    bool there = false;
    for (int i = 0; i < 1000 && !there; i++) {
        int status;
        if (waitpid(tpm->pid, &status, WNOHANG) == tpm->pid) {
            tpm->pid = 0;
            fail_msg("swtpm ended with %d; is it installed?", status);
        }
        (void)nanosleep(&step, NULL);
        there = swtpm_listens(ctrl_path) && swtpm_listens(tpm->socket);
    }
    assert_true(there);
}

static inline void swtpm_kill(struct swtpm *tpm)
{
    if (tpm->pid > 0) {
        assert_int_equal(kill(tpm->pid, SIGKILL), 0);
        assert_int_equal(waitpid(tpm->pid, NULL, 0), tpm->pid);
        tpm->pid = 0;
    }
}

/* A chip, and no slot on it. */
static inline struct swtpm *swtpm_new(void)
{
    struct swtpm *tpm = calloc(1, sizeof *tpm);
    assert_non_null(tpm);
    assert_int_equal(kv_secret_heap_init(NULL), KV_OK);
    (void)snprintf(tpm->dir, sizeof tpm->dir, "/tmp/kv-swtpm-XXXXXX");
    assert_non_null(mkdtemp(tpm->dir));
    (void)snprintf(tpm->state, sizeof tpm->state, "%s/state", tpm->dir);
    (void)snprintf(tpm->socket, sizeof tpm->socket, "%s/sock", tpm->dir);
    (void)snprintf(tpm->tcti, sizeof tpm->tcti, "swtpm:path=%s", tpm->socket);
    (void)snprintf(tpm->folder, sizeof tpm->folder, "%s/slot", tpm->dir);
    assert_int_equal(mkdir(tpm->state, 0700), 0);
    tpm->profile = (struct kv_tpm_profile){.tcti = tpm->tcti, .folder = tpm->folder};
    tpm->pin = secret(USER_PIN);
    swtpm_start(tpm);
    return tpm;
}

/* With the slot `unit`. */
static inline struct swtpm *swtpm_ready(void)
{
    struct swtpm *tpm = swtpm_new();
    struct kv_err err = {.msg = ""};
    if (kv_tpm_init(&tpm->profile, "unit", tpm->pin, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    return tpm;
}

static inline int swtpm_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void swtpm_free(struct swtpm *tpm)
{
    swtpm_kill(tpm);
    assert_int_equal(nftw(tpm->dir, swtpm_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    kv_secret_free(tpm->pin);
    free(tpm);
}

/* Objects and sessions that the chip holds. */
static inline size_t swtpm_held(ESYS_CONTEXT *esys)
{
    static const uint32_t kinds[] = {TPM2_TRANSIENT_FIRST, TPM2_LOADED_SESSION_FIRST,
                                     TPM2_ACTIVE_SESSION_FIRST};
    size_t count = 0;
    for (size_t i = 0; i < KV_COUNT(kinds); i++) {
        TPMS_CAPABILITY_DATA *data = NULL;
        TPMI_YES_NO more;
        assert_int_equal(Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                            TPM2_CAP_HANDLES, kinds[i], 32, &more, &data),
                         TSS2_RC_SUCCESS);
        count += data->data.handles.count;
        Esys_Free(data);
    }
    return count;
}

/* The same, asked by somebody who is not the product, and flushes nothing. */
static inline size_t swtpm_left(const struct swtpm *tpm)
{
    TSS2_TCTI_CONTEXT *tcti = NULL;
    ESYS_CONTEXT *esys = NULL;
    assert_int_equal(Tss2_TctiLdr_Initialize(tpm->tcti, &tcti), TSS2_RC_SUCCESS);
    assert_int_equal(Esys_Initialize(&esys, tcti, NULL), TSS2_RC_SUCCESS);
    size_t count = swtpm_held(esys);
    Esys_Finalize(&esys);
    Tss2_TctiLdr_Finalize(&tcti);
    return count;
}

static inline struct kv_token *swtpm_open(const struct swtpm *tpm)
{
    struct kv_token *token = NULL;
    struct kv_err err = {.msg = ""};
    if (kv_tpm_open(&tpm->profile, tpm->pin, &token, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    return token;
}

static inline enum kv_code swtpm_try(const struct swtpm *tpm, const char *pin, struct kv_err *err)
{
    struct kv_token *token = NULL;
    struct kv_secret *text = secret(pin);
    enum kv_code code = kv_tpm_open(&tpm->profile, text, &token, err);
    kv_token_close(token);
    kv_secret_free(text);
    return code;
}

#endif
