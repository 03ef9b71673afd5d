/* A PKCS#11 module for what SoftHSM2 cannot show: a token with a given flag, a module that hangs or
 * crashes. pReserved says which: `hang`, `crash`, `exit`, `low`, `final`, `locked`, `hard`,
 * `lockless` (cannot lock with the system's means). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

static CK_FLAGS token_flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;

static void pad(CK_UTF8CHAR *out, size_t size, const char *text)
{
    memset(out, ' ', size);
    memcpy(out, text, strlen(text));
}

static CK_RV initialize(void *args)
{
    const CK_C_INITIALIZE_ARGS *init = args;
    const char *word = init->pReserved != NULL ? init->pReserved : "";
    if (strcmp(word, "hang") == 0) {
        for (;;) {
            (void)pause();
        }
    }
    if (strcmp(word, "crash") == 0) {
        abort();
    }
    if (strcmp(word, "exit") == 0) {
        _exit(0);
    }
    if (strcmp(word, "lockless") == 0 && (init->flags & CKF_OS_LOCKING_OK) != 0) {
        return CKR_CANT_LOCK;
    }
    token_flags |= strcmp(word, "low") == 0 ? CKF_USER_PIN_COUNT_LOW : 0;
    token_flags |= strcmp(word, "final") == 0 ? CKF_USER_PIN_FINAL_TRY : 0;
    token_flags |= strcmp(word, "locked") == 0 ? CKF_USER_PIN_LOCKED : 0;
    return CKR_OK;
}

static CK_RV finalize(void *reserved)
{
    (void)reserved;
    token_flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;
    return CKR_OK;
}

static CK_RV get_info(CK_INFO *info)
{
    memset(info, 0, sizeof *info);
    pad(info->manufacturerID, sizeof info->manufacturerID, "Fake Devices");
    pad(info->libraryDescription, sizeof info->libraryDescription, "fake");
    return CKR_OK;
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    (void)present;
    if (list != NULL) {
        list[0] = 7;
    }
    *count = 1;
    return CKR_OK;
}

static CK_RV get_slot_info(CK_SLOT_ID id, CK_SLOT_INFO *info)
{
    (void)id;
    memset(info, 0, sizeof *info);
    pad(info->slotDescription, sizeof info->slotDescription, "fake slot");
    pad(info->manufacturerID, sizeof info->manufacturerID, "Fake Devices");
    info->flags = CKF_TOKEN_PRESENT;
    return CKR_OK;
}

static CK_RV get_token_info(CK_SLOT_ID id, CK_TOKEN_INFO *info)
{
    (void)id;
    memset(info, 0, sizeof *info);
    pad(info->label, sizeof info->label, "unit\x1b[2J");
    pad(info->manufacturerID, sizeof info->manufacturerID, "Fake Devices");
    pad(info->model, sizeof info->model, "F1");
    pad(info->serialNumber, sizeof info->serialNumber, "42");
    info->flags = token_flags;
    return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID id, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *out)
{
    (void)id;
    (void)flags;
    (void)app;
    (void)notify;
    *out = 1;
    return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    (void)session;
    (void)user;
    (void)pin;
    (void)len;
    return CKR_OK;
}

static CK_RV get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    (void)session;
    memset(info, 0, sizeof *info);
    return CKR_OK;
}

static CK_RV get_mechanism_info(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    (void)id;
    (void)type;
    (void)info;
    return CKR_MECHANISM_INVALID;
}

/* Random enough to differ, and nothing else that a key needs. */
static CK_RV generate_random(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG len)
{
    static CK_BYTE next;
    (void)session;
    memset(out, ++next, len);
    return CKR_OK;
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *want, CK_ULONG count)
{
    (void)session;
    (void)want;
    (void)count;
    return CKR_OK;
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out, CK_ULONG max,
                          CK_ULONG *count)
{
    (void)session;
    (void)out;
    (void)max;
    *count = 0;
    return CKR_OK;
}

static CK_RV find_objects_final(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

static CK_RV generate_key_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                               CK_ATTRIBUTE *public, CK_ULONG public_count, CK_ATTRIBUTE *private,
                               CK_ULONG private_count, CK_OBJECT_HANDLE *public_key,
                               CK_OBJECT_HANDLE *private_key)
{
    (void)session;
    (void)mechanism;
    (void)public;
    (void)public_count;
    (void)private;
    (void)private_count;
    (void)public_key;
    (void)private_key;
    return CKR_MECHANISM_INVALID;
}

static CK_FUNCTION_LIST functions = {
    .version = {2, 40},
    .C_Initialize = initialize,
    .C_Finalize = finalize,
    .C_GetInfo = get_info,
    .C_GetSlotList = get_slot_list,
    .C_GetSlotInfo = get_slot_info,
    .C_GetTokenInfo = get_token_info,
    .C_OpenSession = open_session,
    .C_CloseSession = close_session,
    .C_Login = login,
    .C_GetSessionInfo = get_session_info,
    .C_GetMechanismInfo = get_mechanism_info,
    .C_GenerateRandom = generate_random,
    .C_FindObjectsInit = find_objects_init,
    .C_FindObjects = find_objects,
    .C_FindObjectsFinal = find_objects_final,
    .C_GenerateKeyPair = generate_key_pair,
};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    functions.C_GetFunctionList = C_GetFunctionList;
    *out = &functions;
    return CKR_OK;
}
