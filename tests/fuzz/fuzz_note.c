/* Notes and keys: the text of an accepted note is a part of it, up to its last empty line; a key
 * that is read is written back the same. */
#include "ledger/note.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char KEY[] =
    "ksef-vault.example.com/nip-5265877635/"
    "audit+494af723+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHFwE0"
    "Ra5YQsFg6wgjF08q8mSgT034rlfzxRbxi/T0eQqtu6XV7F+N7e+i413GP6DNka9PKR+LhFQwz+ScI+YxU=";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_vkey key, read;
    struct kv_bytes in = kv_bytes(data, size);
    struct kv_bytes text;
    uint8_t rs[KV_ECDSA_RS_LEN], der[KV_ECDSA_DER_MAX];
    size_t len;
    if (kv_vkey_parse(kv_bytes_str(KEY), &key, NULL) != KV_OK) {
        abort();
    }
    if (kv_note_open(in, &key, 1, &text, NULL) == KV_OK &&
        (text.ptr != data || text.len + 2 > size || text.ptr[text.len - 1] != '\n' ||
         data[text.len] != '\n')) {
        abort();
    }
    if (kv_vkey_parse(in, &read, NULL) == KV_OK) {
        char again[KV_VKEY_TEXT_LEN];
        kv_vkey_format(&read, again);
        if (memcmp(again, data, strlen(again)) != 0 || size - strlen(again) > 1) {
            abort();
        }
    }
    if (kv_ecdsa_from_der(in, rs, NULL) == KV_OK &&
        (kv_ecdsa_to_der(rs, der, &len, NULL) != KV_OK ||
         !kv_bytes_equal(kv_bytes(der, len), in))) {
        abort();
    }
    return 0;
}
