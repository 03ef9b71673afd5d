#include "tpm/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_NAME ".turn" /* no slot's name begins with a dot */
#define STEP_MS   2

enum kv_code kv_tpm_turn_open(int dir, const char *slots, struct kv_tpm_turn *out,
                              struct kv_err *err)
{
    struct stat st;
    out->fd = -1;
    /* not the process's number: after a reset of the machine another may have it */
    if (getrandom(out->mark, sizeof out->mark, 0) != (ssize_t)sizeof out->mark) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "no random numbers");
    }
    KV_CLEANUP(kv_close_fdp) int folder = openat(dir, slots, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* what root, with a PIN to seal, made here the keeper could not open */
    bool own = folder >= 0 && fstat(folder, &st) == 0 && st.st_uid == geteuid();
    if (folder >= 0) {
        int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | (own ? O_CREAT : 0);
        out->fd = openat(folder, FILE_NAME, flags, 0600);
    }
    return out->fd >= 0 || (errno == ENOENT && !own)
               ? KV_OK
               : KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open the lock of the TPM's slots");
}

enum kv_code kv_tpm_turn_last(const struct kv_tpm_turn *turn, bool *alone, struct kv_err *err)
{
    static const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    uint8_t last[sizeof turn->mark];
    if (turn->fd < 0) {
        *alone = true;
        return KV_OK;
    }
    int left = KV_TPM_TURN_WAIT_MS / STEP_MS;
    while (flock(turn->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot lock the TPM's slots");
        }
        if (left-- == 0) {
            return KV_REFUSE(err, KV_E_TOKEN_IN_USE, "another slot keeps the TPM busy");
        }
        (void)nanosleep(&step, NULL);
    }
    *alone = pread(turn->fd, last, sizeof last, 0) == (ssize_t)sizeof last &&
             memcmp(last, turn->mark, sizeof last) == 0;
    return KV_OK;
}

enum kv_code kv_tpm_turn_take(const struct kv_tpm_turn *turn, bool *alone, struct kv_err *err)
{
    enum kv_code code = kv_tpm_turn_last(turn, alone, err);
    if (code != KV_OK) {
        return code;
    }
    /* before anything is changed in the chip: who is killed at it leaves the mark */
    if (!*alone && pwrite(turn->fd, turn->mark, sizeof turn->mark, 0) != sizeof turn->mark) {
        kv_tpm_turn_give(turn);
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot mark the turn at the TPM");
    }
    return KV_OK;
}

void kv_tpm_turn_give(const struct kv_tpm_turn *turn)
{
    if (turn->fd >= 0) {
        (void)flock(turn->fd, LOCK_UN); /* fails for no lock only */
    }
}
