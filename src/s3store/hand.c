/* hand.c - one hand per key: calls that are two requests hold it from the first to the second.
 *
 * The hands that are held are a list of the holders' own stack; there are as many as threads in such a call, so looking
 * through it costs less than the request that follows. */
#include "s3store/s3store.h"

static bool hand_is_held_locked(const s3store *s, blob_key key)
{
    for (const s3_hand *h = s->hands; h != NULL; h = h->next)
        if (blob_key_compare(h->key, key) == 0)
            return true;
    return false;
}

int s3_hand_take(s3store *s, blob_ctx *ctx, s3_hand *hand, blob_key key)
{
    int rc = 0;

    hand->key = key;
    pthread_mutex_lock(&s->mutex);
    while (hand_is_held_locked(s, key) && rc == 0)
        rc = blob_ctx_wait(ctx, &s->hands_cond, &s->mutex);
    /* What ended may have been free to go at the same moment; then it goes and sees at its first request. */
    if (!hand_is_held_locked(s, key)) {
        hand->next = s->hands;
        s->hands = hand;
        rc = 0;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc == 0 ? 0 : blob_fail(rc, 0, "%s: another call for the same key was not done in time", s->where);
}

void s3_hand_drop(s3store *s, s3_hand *hand)
{
    s3_hand **at = &s->hands;

    pthread_mutex_lock(&s->mutex);
    while (*at != hand)
        at = &(*at)->next;
    *at = hand->next;
    pthread_cond_broadcast(&s->hands_cond);
    pthread_mutex_unlock(&s->mutex);
}
