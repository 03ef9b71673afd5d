/* A PKCS#11 module that needs the network, as that of a network HSM does: SoftHSM2 does the work,
 * but before each login, random number and signature a server is asked over TCP, by a connection of
 * its own. The server decides what goes wrong: the device lies, is gone, has no sessions left,
 * hangs.
 *
 *   KV_HSM_SERVER   HOST:PORT; one byte goes there (what is asked), one comes back (what to do)
 *   KV_HSM_PAD      if set: the device has a pad, and somebody enters the PIN that is in this file
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#define BACKEND "/usr/lib/softhsm/libsofthsm2.so"

enum { DO_WORK = 'o', LIE = 'l', SHORT = 'z', LONG = 'b', CRASH = 'c', SAME = 'r' };

static CK_FUNCTION_LIST *backend;
static CK_FUNCTION_LIST functions;

/* What the server says about `what`; 0 if it cannot be asked. */
static char ask(char what)
{
    const char *address = getenv("KV_HSM_SERVER");
    const char *colon = address == NULL ? NULL : strrchr(address, ':');
    char host[64];
    if (colon == NULL || (size_t)(colon - address) >= sizeof host) {
        return 0;
    }
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((unsigned short)strtoul(colon + 1, NULL, 10))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answer = 0;
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
        connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 || write(fd, &what, 1) != 1 ||
        read(fd, &answer, 1) != 1) {
        answer = 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return answer;
}

/* The CK_RV that the answer stands for; CKR_OK for those that bend the result instead. */
static CK_RV fault(char answer)
{
    switch (answer) {
    case 0: return CKR_DEVICE_ERROR;
    case CRASH: abort();
    case 'd': return CKR_DEVICE_REMOVED;
    case 'n': return CKR_SESSION_COUNT;
    case 'g': return CKR_GENERAL_ERROR;
    case 'm': return CKR_DEVICE_MEMORY;
    case 'x': return 0x80000bad; /* a vendor's own */
    default: return CKR_OK;
    }
}

static CK_RV initialize(void *args)
{
    CK_RV rv = fault(ask('I'));
    return rv == CKR_OK ? backend->C_Initialize(args) : rv;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = backend->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK && getenv("KV_HSM_PAD") != NULL) {
        info->flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    }
    return rv;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    const char *pad = getenv("KV_HSM_PAD");
    CK_UTF8CHAR typed[256];
    CK_RV rv = fault(ask('L'));
    if (rv == CKR_OK && pin == NULL && pad != NULL) {
        FILE *file = fopen(pad, "re");
        if (file == NULL) {
            return CKR_FUNCTION_CANCELED;
        }
        len = fread(typed, 1, sizeof typed, file);
        (void)fclose(file);
        pin = typed;
    }
    return rv == CKR_OK ? backend->C_Login(session, user, pin, len) : rv;
}

static CK_RV generate_random(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG len)
{
    char answer = ask('R');
    CK_RV rv = fault(answer);
    if (rv == CKR_OK && answer == SAME) {
        memset(out, 7, len);
        return CKR_OK;
    }
    return rv == CKR_OK ? backend->C_GenerateRandom(session, out, len) : rv;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_len, CK_BYTE *signature,
                  CK_ULONG *len)
{
    char answer = ask('S');
    CK_RV rv = fault(answer);
    CK_RV done = backend->C_Sign(session, data, data_len, signature, len); /* ends C_SignInit */
    if (rv == CKR_OK && done == CKR_OK && signature != NULL) {
        signature[*len - 1] ^= answer == LIE ? 1 : 0;
        *len -= answer == SHORT ? 1 : 0;
        *len += answer == LONG ? 1000000 : 0;
    }
    return rv == CKR_OK ? done : rv;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    void *library = dlopen(BACKEND, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList list = NULL;
    if (library == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *(void **)&list = dlsym(library, "C_GetFunctionList");
    if (list == NULL || list(&backend) != CKR_OK) {
        return CKR_GENERAL_ERROR;
    }
    functions = *backend;
    functions.C_GetFunctionList = C_GetFunctionList;
    functions.C_Initialize = initialize;
    functions.C_GetTokenInfo = get_token_info;
    functions.C_Login = login;
    functions.C_GenerateRandom = generate_random;
    functions.C_Sign = sign;
    *out = &functions;
    return CKR_OK;
}
