/* Objects of a token by class and label, and their attributes. */
#ifndef KV_PKCS11_OBJECT_H
#define KV_PKCS11_OBJECT_H

#include "pkcs11/session.h"

static inline CK_ATTRIBUTE kv_object_attr(CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    return (CK_ATTRIBUTE){type, (void *)(uintptr_t)value, len}; /* CK_ATTRIBUTE knows no const */
}

/* Token objects of `class`, and of `label` unless NULL. At most `max` handles are given. */
KV_MUST_USE enum kv_code kv_object_search(struct kv_pkcs11_token *token, CK_OBJECT_CLASS class,
                                          const char *label, CK_OBJECT_HANDLE *out, size_t max,
                                          size_t *count, struct kv_err *err);
/* One attribute into buf; false: absent, or longer than `max`. */
bool kv_object_get(struct kv_pkcs11_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                   void *buf, size_t max, size_t *len);
/* A flag; `untold` if the module does not tell it. */
bool kv_object_flag(struct kv_pkcs11_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                    bool untold);
/* Destroy the objects of `class` that have the label, or, with `prefix`, whose label begins so;
 * *count grows by one for each. */
KV_MUST_USE enum kv_code kv_object_destroy_all(struct kv_pkcs11_token *token, CK_OBJECT_CLASS class,
                                               const char *label, bool prefix, size_t *count,
                                               struct kv_err *err);

#endif
