/* What the vault asks of a slot: that it is unlocked, and that a keeper whose slot hangs is ended.
 */
#include "agent/supervisor.h"

#include "core/log.h"
#include "pkcs11/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <unistd.h>

bool kv_act_as(uid_t uid, gid_t gid)
{
    (void)setfsgid(gid); /* these tell no failure: ask afterwards */
    (void)setfsuid(uid);
    return setfsuid((uid_t)-1) == (int)uid && setfsgid((gid_t)-1) == (int)gid;
}

static enum kv_code replace_marks(const char *folder, const char *slot, struct kv_err *err)
{
    char latched[512], unlocked[512];
    int n = snprintf(latched, sizeof latched, "%s/keeper/%s.latched", folder, slot);
    int m = snprintf(unlocked, sizeof unlocked, "%s/keeper/%s.unlocked", folder, slot);
    if (n < 0 || (size_t)n >= sizeof latched || m < 0 || (size_t)m >= sizeof unlocked) {
        return KV_REFUSE(err, KV_E_CONFIG, "state: the path is too long");
    }
    KV_CLEANUP(kv_close_fdp)
    int fd = open(unlocked, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot make %.120s", unlocked);
    }
    if (unlink(latched) != 0 && errno != ENOENT) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot remove %.120s", latched);
    }
    return KV_OK;
}

/* Let the next login of a keeper be tried, even if the token reports an earlier wrong PIN: a mark
 * on disk says so, which the keeper removes before it tries. Its own mark is removed here. */
static enum kv_code mark_unlocked(const struct kv_child *child, struct kv_err *err)
{
    errno = 0;
    const struct passwd *pw = getpwnam(kv_child_account(child));
    if (pw == NULL) {
        return KV_FAIL(err, KV_E_CONFIG, KV_ERRNO, "there is no account '%s'",
                       kv_child_account(child));
    }
    enum kv_code code =
        kv_act_as(pw->pw_uid, pw->pw_gid)
            ? replace_marks(child->sup->config->state, child->slot->name, err)
            : KV_REFUSE(err, KV_E_IO, "cannot act as '%s'", kv_child_account(child));
    bool back = kv_act_as(geteuid(), getegid());
    assert(back); /* it is who this process is */
    return code;
}

/* The PIN that root may be holding out, for a keeper that does not work. */
static enum kv_code take_handed(struct kv_child *child, struct kv_err *err)
{
    char path[512];
    int fd = -1;
    if (strcmp(child->slot->pin, KV_CONFIG_PIN_PROTECTED) == 0) {
        return KV_OK;
    }
    if (!kv_config_prompt_path(child->sup->config, child->slot->name, path, sizeof path)) {
        return KV_REFUSE(err, KV_E_CONFIG, "socket: the path is too long");
    }
    enum kv_code code = kv_pin_open_pipe(path, &fd, err);
    if (code == KV_OK) {
        kv_close_fdp(&child->handed);
        child->handed = fd;
    }
    return code == KV_E_PIN_AWAITED ? KV_OK : code; /* then its source is tried again */
}

void kv_supervisor_unlock(struct kv_supervisor *sup, struct kv_channel *channel,
                          const struct kv_frame *frame)
{
    static const struct kv_field_spec specs[] = {
        {"slot", KV_FIELD_STRING, KV_ID_LEN - 1, true, NULL}, {NULL, KV_FIELD_END, 0, false, NULL}};
    struct kv_field fields[KV_FIELDS_MAX];
    struct kv_err err;
    if (kv_message_read(frame->body, specs, fields, &err) != KV_OK) {
        kv_channel_reply(channel, frame->request, err.code, err.msg, KV_BYTES_NULL);
        return;
    }
    for (size_t i = 0; i < sup->child_count; i++) {
        struct kv_child *child = &sup->children[i];
        if (child->slot == NULL || !kv_bytes_is(fields[0].value, child->slot->name)) {
            continue;
        }
        /* a mark beside a keeper that works would be found by a later one that nobody asked for */
        if ((!child->ready && take_handed(child, &err) != KV_OK) ||
            ((child->pid == 0 || child->latched != KV_OK) && mark_unlocked(child, &err) != KV_OK)) {
            kv_log_err(KV_LOG_ERROR, "unlock", &err);
            kv_channel_reply(channel, frame->request, err.code, err.msg, KV_BYTES_NULL);
            return;
        }
        child->latched = KV_OK;
        if (child->pid == 0) {
            kv_timer_arm(child->respawn, 0);
        }
        kv_channel_reply(channel, frame->request, KV_OK, "", KV_BYTES_NULL);
        return;
    }
    kv_channel_reply(channel, frame->request, KV_E_NOT_FOUND, "there is no slot of that name",
                     KV_BYTES_NULL);
}

/* The vault found no answer in time. A keeper that has logged in may be ended; one that has not yet
 * has a deadline of its own. */
void kv_supervisor_slot_hangs(struct kv_supervisor *sup, const struct kv_frame *frame)
{
    static const struct kv_field_spec specs[] = {
        {"slot", KV_FIELD_STRING, KV_ID_LEN - 1, true, NULL}, {NULL, KV_FIELD_END, 0, false, NULL}};
    struct kv_field fields[KV_FIELDS_MAX];
    struct kv_err err;
    if (kv_message_read(frame->body, specs, fields, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "hangs", &err);
        return;
    }
    for (size_t i = 0; i < sup->child_count; i++) {
        struct kv_child *child = &sup->children[i];
        if (child->slot != NULL && kv_bytes_is(fields[0].value, child->slot->name) &&
            child->ready && child->pid != 0) {
            child->hangs = true;
            (void)kill(child->pid, SIGKILL); /* ours, and not yet waited for */
        }
    }
}
