/* Raw C_Sign on a module loaded into the client: the token itself, or p11-kit's client module with
 * a `p11-kit server` behind it. */
#include "tests/bench/bench.h"

#include <dlfcn.h>
#include <errno.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    bool rsa;
};

static void good(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        (void)fprintf(stderr, "bench: %s: 0x%lx\n", what, rv);
        exit(1);
    }
}

static CK_FUNCTION_LIST *load(const char *path)
{
    static CK_FUNCTION_LIST *f;
    CK_C_GetFunctionList get;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    if (f != NULL) {
        return f;
    }
    void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW);
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
    errno = 0;
    if (symbol == NULL) {
        bench_die("--module names no PKCS#11 module");
    }
    memcpy(&get, &symbol, sizeof get); /* ISO C has no cast from object to function pointers */
    good(get(&f), "C_GetFunctionList");
    good(f->C_Initialize(&args), "C_Initialize");
    return f;
}

static CK_SLOT_ID find_slot(CK_FUNCTION_LIST *f, const char *label)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    good(f->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        size_t len = strlen(label);
        if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK && len <= sizeof info.label &&
            strncmp((const char *)info.label, label, len) == 0 &&
            (len == sizeof info.label || info.label[len] == ' ')) {
            return slots[i];
        }
    }
    errno = 0;
    bench_die("no token has this label");
}

static void login(struct client *c, const char *path)
{
    char pin[256] = "";
    FILE *file = path == NULL ? NULL : fopen(path, "re");
    if (file == NULL || fgets(pin, sizeof pin, file) == NULL) {
        bench_die("--pin names no file with a PIN");
    }
    (void)fclose(file); /* only read */
    size_t len = strcspn(pin, "\n");
    CK_RV rv = c->f->C_Login(c->session, CKU_USER, (CK_UTF8CHAR *)pin, len);
    good(rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv, "C_Login");
}

static void *open_client(const struct bench_options *options, unsigned count)
{
    struct client *c = calloc(1, sizeof *c);
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ULONG found = 0;
    if (c == NULL || count != 1 || options->token == NULL || options->key == NULL) {
        errno = 0;
        bench_die("--token and --key are needed");
    }
    char label[64];
    (void)snprintf(label, sizeof label, "%s", options->key);
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}};
    c->f = load(options->module);
    c->rsa = options->rsa;
    CK_SLOT_ID slot = find_slot(c->f, options->token);
    good(c->f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &c->session), "C_OpenSession");
    login(c, options->pin);
    good(c->f->C_FindObjectsInit(c->session, wanted, 2), "C_FindObjectsInit");
    good(c->f->C_FindObjects(c->session, &c->key, 1, &found), "C_FindObjects");
    good(c->f->C_FindObjectsFinal(c->session), "C_FindObjectsFinal");
    if (found != 1) {
        errno = 0;
        bench_die("no private key has this label");
    }
    return c;
}

static void run_client(void *clients, uint64_t end_us, struct bench_tally *tally)
{
    struct client *c = clients;
    struct {
        CK_MECHANISM_TYPE hash, mgf;
        CK_ULONG salt;
    } pss = {CKM_SHA256, 2 /* CKG_MGF1_SHA256 */, 32};
    CK_MECHANISM mechanism = {c->rsa ? CKM_RSA_PKCS_PSS : CKM_ECDSA, c->rsa ? &pss : NULL,
                              c->rsa ? sizeof pss : 0};
    uint64_t begin;
    while ((begin = bench_now_us()) < end_us) {
        uint8_t hash[32], sig[512];
        CK_ULONG len = sizeof sig;
        bench_hash(hash);
        good(c->f->C_SignInit(c->session, &mechanism, c->key), "C_SignInit");
        good(c->f->C_Sign(c->session, hash, sizeof hash, sig, &len), "C_Sign");
        bench_count(tally, begin);
    }
}

const struct bench_peer bench_pkcs11 = {
    .name = "pkcs11", .threads = true, .open = open_client, .run = run_client};
