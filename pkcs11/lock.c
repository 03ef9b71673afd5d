#include "pkcs11/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GUARD_WAIT_MS 10000
#define GUARD_STEP_MS 20
#define OBJECT        "token.object"
#define BACKUP        "token.object.kv-backup"
#define BACKUP_NEW    "token.object.kv-backup.new"
#define RESTORED_NEW  "token.object.kv-restore.new"
#define OBJECT_MAX    (1024 * 1024) /* bytes; SoftHSM2's are a few hundred */

enum kv_code kv_token_lock(const char *dir, const struct kv_token_info *info, int *fd,
                           struct kv_err *err)
{
    char what[sizeof info->label + sizeof info->manufacturer + sizeof info->serial + 8];
    char path[4096], hex[KV_HASH_HEX_LEN];
    /* By what the token is, not by how the configuration names it: two URIs may mean one token.
     * Hashed, since a label may hold anything. */
    int n =
        snprintf(what, sizeof what, "%s\n%s\n%s", info->manufacturer, info->serial, info->label);
    assert(n > 0 && (size_t)n < sizeof what);
    struct kv_hash hash = kv_hash(kv_bytes_str(what));
    kv_hash_hex(&hash, hex);
    n = snprintf(path, sizeof path, "%s/token-%.32s.lock", dir, hex);
    if (n < 0 || (size_t)n >= sizeof path) {
        return KV_REFUSE(err, KV_E_IO, "the path of the lock folder is too long");
    }
    KV_CLEANUP(kv_close_fdp)
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (lock < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open the lock file %.120s: %s", path,
                       strerror(errno));
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return KV_REFUSE(err, KV_E_TOKEN_IN_USE, "another process uses token '%s'",
                             info->label);
        }
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot lock %.120s", path);
    }
    *fd = lock;
    lock = -1; /* handed over */
    return KV_OK;
}

/* Write `data` to `name` in the folder, by way of `fresh`: never half a file under `name`. */
static enum kv_code replace(int dir, const char *fresh, const char *name, struct kv_bytes data,
                            const struct stat *like, struct kv_err *err)
{
    if (unlinkat(dir, fresh, 0) != 0 && errno != ENOENT) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot remove %s", fresh);
    }
    KV_CLEANUP(kv_close_fdp)
    int fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot create %s", fresh);
    }
    /* root may run this for the keeper; the file must stay the keeper's */
    if (geteuid() == 0 && fchown(fd, like->st_uid, like->st_gid) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot chown %s", fresh);
    }
    for (size_t at = 0; at < data.len;) {
        ssize_t n = write(fd, data.ptr + at, data.len - at);
        if (n < 0 && errno != EINTR) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot write %s", fresh);
        }
        at += n > 0 ? (size_t)n : 0;
    }
    if (fchmod(fd, like->st_mode & 0777) != 0 || fsync(fd) != 0 ||
        renameat(dir, fresh, dir, name) != 0 || fsync(dir) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot put %s in place", name);
    }
    return KV_OK;
}

/* The bytes of a file of the folder. *found false, KV_OK: there is none. */
static enum kv_code slurp(int dir, const char *name, bool *found, uint8_t **data, struct stat *st,
                          struct kv_err *err)
{
    *found = false;
    KV_CLEANUP(kv_close_fdp) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        return KV_OK;
    }
    if (fd < 0 || fstat(fd, st) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open %s", name);
    }
    if (!S_ISREG(st->st_mode) || st->st_size > OBJECT_MAX) {
        return KV_REFUSE(err, KV_E_IO, "%s is not a file of a token", name);
    }
    size_t size = (size_t)st->st_size;
    KV_CLEANUP(kv_freep) uint8_t *buf = malloc(size + 1);
    if (buf == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for %s", name);
    }
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, buf + at, size - at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot read %s", name);
        }
        at += (size_t)n;
    }
    *data = buf;
    buf = NULL; /* handed over */
    *found = true;
    return KV_OK;
}

static enum kv_code guard_token(int dir, struct kv_err *err)
{
    KV_CLEANUP(kv_freep) uint8_t *object = NULL;
    KV_CLEANUP(kv_freep) uint8_t *backup = NULL;
    struct stat st, backup_st;
    bool found, found_backup;
    enum kv_code code = slurp(dir, OBJECT, &found, &object, &st, err);
    if (code != KV_OK || !found) {
        return code;
    }
    if (st.st_size > 0) {
        return replace(dir, BACKUP_NEW, BACKUP, kv_bytes(object, (size_t)st.st_size), &st, err);
    }
    code = slurp(dir, BACKUP, &found_backup, &backup, &backup_st, err);
    if (code != KV_OK || !found_backup || backup_st.st_size == 0) {
        return code; /* nothing to restore from: the module will say that the token is absent */
    }
    return replace(dir, RESTORED_NEW, OBJECT, kv_bytes(backup, (size_t)backup_st.st_size), &st,
                   err);
}

/* flock with an end: a process that hangs in a login must not hang all others. */
static enum kv_code lock_folder(int dir, struct kv_err *err)
{
    const struct timespec step = {.tv_nsec = GUARD_STEP_MS * 1000000L};
    for (int waited = 0;; waited += GUARD_STEP_MS) {
        if (flock(dir, LOCK_EX | LOCK_NB) == 0) {
            return KV_OK;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot lock the token folder");
        }
        if (waited >= GUARD_WAIT_MS) {
            return KV_REFUSE(err, KV_E_TOKEN_IN_USE, "another process is logging in since %d s",
                             GUARD_WAIT_MS / 1000);
        }
        (void)nanosleep(&step, NULL); /* woken early: tried early */
    }
}

static void close_dirp(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir); /* read-only: nothing to lose */
    }
}

/* All tokens of an open folder, each in a folder of its own. */
static enum kv_code guard_tokens(int lock, DIR *dir, struct kv_err *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL && errno != 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot read the token folder");
        }
        if (entry == NULL) {
            return KV_OK;
        }
        if (entry->d_name[0] == '.') {
            continue;
        }
        KV_CLEANUP(kv_close_fdp)
        int token = openat(lock, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (token < 0 && (errno == ENOTDIR || errno == ELOOP || errno == EACCES)) {
            continue; /* no token, or none of this account's: the module cannot open it either */
        }
        if (token < 0) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open the token %.64s", entry->d_name);
        }
        enum kv_code code = guard_token(token, err);
        if (code != KV_OK) {
            return code;
        }
    }
}

enum kv_code kv_softhsm_guard(const char *const *folders, size_t count,
                              struct kv_softhsm_guard *out, struct kv_err *err)
{
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        KV_CLEANUP(kv_close_fdp) int lock = open(folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock < 0 && errno == ENOTDIR) {
            continue; /* a device, a socket */
        }
        KV_CLEANUP(close_dirp) DIR *dir = lock < 0 ? NULL : opendir(folders[i]);
        if (dir == NULL) {
            return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open the folder %.120s", folders[i]);
        }
        if (out->count == KV_GUARD_MAX) {
            return KV_REFUSE(err, KV_E_LIMIT, "more than %d folders of tokens", KV_GUARD_MAX);
        }
        enum kv_code code = lock_folder(lock, err);
        if (code != KV_OK) {
            return code;
        }
        out->fd[out->count++] = lock;
        lock = -1; /* handed over */
        code = guard_tokens(out->fd[out->count - 1], dir, err);
        if (code != KV_OK) {
            return code;
        }
    }
    return KV_OK;
}

void kv_softhsm_guard_clear(struct kv_softhsm_guard *guard)
{
    while (guard->count > 0) {
        kv_close_fdp(&guard->fd[--guard->count]);
    }
}
