/* test_store.c - checked dispatch: what never reaches a store, and what never comes back from one.
 *
 * A call is described by a struct, so that every operation goes through the same promises. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <wbstore/blob_store.h>

#include "blob/store.h"
#include "fakestore.h"
#include "sleeper.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Calls */

typedef struct call {
    blob_ctx *ctx;
    blob_key key;
    blob_view data;
    unsigned flags;
    blob_list_fn *fn;
    bool no_out;
} call;

static int list_nothing(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return 0;
}

/* What the calls left in their outs. */
static blob *got;
static uint64_t number;
static blob_address address;

static int make_call(fake_op op, blob_store *s, const call *c)
{
    got = (blob *)(void *)&fake_junk;
    number = 99;
    address.size = 99;
    switch (op) {
    case GET:
        return blob_store_get(s, c->ctx, c->key, c->no_out ? NULL : &got);
    case PUT:
        return blob_store_put(s, c->ctx, c->key, c->data, c->flags);
    case DEL:
        return blob_store_delete(s, c->ctx, c->key, c->flags);
    case SIZE:
        return blob_store_size(s, c->ctx, c->key, c->no_out ? NULL : &number);
    case LIST:
        return blob_store_list(s, c->ctx, c->key, c->fn, &fake_junk);
    case LEN:
        return blob_store_len(s, c->ctx, c->no_out ? NULL : &number);
    case CLOSE:
        return blob_store_close(s, c->ctx);
    case CAS_KEY:
        return blob_store_cas_key(s, c->ctx, c->data, c->no_out ? NULL : &address);
    default:
        return blob_store_cas_put(s, c->ctx, c->data, c->no_out ? NULL : &address);
    }
}

static bool out_is_clear(fake_op op)
{
    switch (op) {
    case GET:
        return got == NULL;
    case SIZE:
    case LEN:
        return number == 0;
    case CAS_KEY:
    case CAS_PUT:
        return address.size == 0;
    default:
        return true;
    }
}

static call good_call(void)
{
    return (call){.key = blob_key_of("key", 3), .data = blob_view_of("data", 4), .fn = list_nothing};
}

static bool takes_key(fake_op op)
{
    return op == GET || op == PUT || op == DEL || op == SIZE || op == LIST;
}

static bool takes_data(fake_op op)
{
    return op == PUT || op == CAS_KEY || op == CAS_PUT;
}

static bool has_out(fake_op op)
{
    return op == GET || op == SIZE || op == LEN || op == CAS_KEY || op == CAS_PUT;
}

/* Fails with the status, says why, clears the out and does not reach the store. */
static void assert_kept_from(fake *f, fake_op op, const call *c, int status)
{
    unsigned before = f->calls;
    blob_error error;

    blob_fail(-EXDEV, 0, "an older reason");
    assert_int_equal(make_call(op, &f->store, c), status);
    assert_int_equal(f->calls, before);
    blob_last_error(&error);
    assert_int_equal(error.status, status);
    assert_true(error.text[0] != '\0');
    assert_true(c->no_out || out_is_clear(op));
}

static void assert_reaches(fake *f, fake_op op, const call *c)
{
    unsigned before = f->calls;

    f->fill = true;
    assert_int_equal(make_call(op, &f->store, c), 0);
    assert_int_equal(f->calls, before + 1);
    assert_int_equal(f->op, op);
    assert_true(f->out_was_clear);
    assert_ptr_equal(f->ctx, c->ctx);
}

/* What never reaches a store */

static void without_a_store_or_its_table_nothing_is_called(void **state)
{
    fake bare = new_fake(NULL);
    call c = good_call();

    (void)state;
    for (fake_op op = 0; op < OPS; op++) {
        assert_kept_from(&bare, op, &c, -EINVAL);
        assert_int_equal(make_call(op, NULL, &c), -EINVAL);
        assert_true(out_is_clear(op));
    }
}

static void a_table_may_lack_any_operation(void **state)
{
    call c = good_call();

    (void)state;
    for (fake_op op = 0; op < OPS; op++) {
        blob_store_ops none = {.struct_size = sizeof none, .name = "none"}, nameless = {.struct_size = sizeof nameless};
        fake f = new_fake(&none), g = new_fake(&nameless);
        assert_kept_from(&f, op, &c, BLOB_UNSUPPORTED);
        assert_kept_from(&g, op, &c, BLOB_UNSUPPORTED);
    }
}

static void an_operation_past_the_tables_end_does_not_exist(void **state)
{
#define END(op) (offsetof(blob_store_ops, op) + sizeof fake_ops.op)
    const size_t ends[OPS] = {END(get), END(put),   END(del),     END(size),   END(list),
                              END(len), END(close), END(cas_key), END(cas_put)};
    call c = good_call();

    (void)state;
    for (fake_op op = 0; op < OPS; op++) {
        blob_store_ops cut = fake_ops;
        fake f = new_fake(&cut);
        cut.struct_size = ends[op];
        assert_reaches(&f, op, &c);
        cut.struct_size = ends[op] - 1;
        assert_kept_from(&f, op, &c, BLOB_UNSUPPORTED);
        cut.struct_size = 0;
        assert_kept_from(&f, op, &c, BLOB_UNSUPPORTED);
        cut.struct_size = sizeof cut + 64; /* a store newer than this library */
        assert_reaches(&f, op, &c);
    }
}

static void traits_are_optional(void **state)
{
    blob_store_ops cut = fake_ops;
    fake f = new_fake(&cut);

    (void)state;
    f.status = 500;
    assert_int_equal(wb_store_traits(&f.store), BLOB_TRAIT_CHECKS_KEYS);
    assert_int_equal(wb_store_in_doubt_ms(&f.store), 500);
    f.status = -1;
    assert_int_equal(wb_store_in_doubt_ms(&f.store), 0);
    f.status = 500;
    cut.struct_size = END(in_doubt_ms) - 1;
    assert_int_equal(wb_store_in_doubt_ms(&f.store), 0);
    assert_int_equal(wb_store_traits(&f.store), BLOB_TRAIT_CHECKS_KEYS);
    cut.struct_size = END(traits) - 1;
    assert_int_equal(wb_store_traits(&f.store), 0);
    cut = fake_ops;
    cut.traits = NULL;
    cut.in_doubt_ms = NULL;
    assert_int_equal(wb_store_traits(&f.store), 0);
    assert_int_equal(wb_store_in_doubt_ms(&f.store), 0);
}

static void impossible_keys_are_refused(void **state)
{
    static const char bytes[BLOB_KEY_MAX + 1];
    fake f = new_fake(&fake_ops);
    call c = good_call();

    (void)state;
    for (fake_op op = 0; op < OPS; op++) {
        if (!takes_key(op))
            continue;
        c.key = blob_key_of(bytes, BLOB_KEY_MAX);
        assert_reaches(&f, op, &c);
        assert_ptr_equal(f.key.data, bytes);
        assert_int_equal(f.key.size, BLOB_KEY_MAX);
        c.key = blob_key_of(NULL, 0);
        assert_reaches(&f, op, &c);
        c.key = blob_key_of(bytes, BLOB_KEY_MAX + 1);
        assert_kept_from(&f, op, &c, -EINVAL);
        c.key = blob_key_of(bytes, SIZE_MAX);
        assert_kept_from(&f, op, &c, -EINVAL);
        c.key = blob_key_of(NULL, 1);
        assert_kept_from(&f, op, &c, -EINVAL);
    }
}

static void a_view_without_its_bytes_is_refused(void **state)
{
    fake f = new_fake(&fake_ops);
    call c = good_call();

    (void)state;
    for (fake_op op = 0; op < OPS; op++) {
        if (!takes_data(op))
            continue;
        c.data = blob_view_of("data", 4);
        assert_reaches(&f, op, &c);
        assert_int_equal(f.data.size, 4);
        assert_ptr_equal(f.data.data, c.data.data);
        c.data = blob_view_of(NULL, 0);
        assert_reaches(&f, op, &c);
        c.data = blob_view_of(NULL, 1);
        assert_kept_from(&f, op, &c, -EINVAL);
    }
}

static void flags_an_operation_does_not_know_are_refused(void **state)
{
    fake f = new_fake(&fake_ops);
    call c = good_call();

    (void)state;
    for (int bit = 0; bit < 32; bit++) {
        c.flags = 1u << bit;
        if (c.flags == BLOB_REPLACE)
            assert_reaches(&f, PUT, &c);
        else
            assert_kept_from(&f, PUT, &c, -EINVAL);
        assert_true(c.flags != BLOB_REPLACE || f.flags == BLOB_REPLACE);
        if (c.flags == BLOB_LAZY)
            assert_reaches(&f, DEL, &c);
        else
            assert_kept_from(&f, DEL, &c, -EINVAL);
        assert_true(c.flags != BLOB_LAZY || f.flags == BLOB_LAZY);
    }
    c.flags = BLOB_REPLACE | BLOB_LAZY;
    assert_kept_from(&f, PUT, &c, -EINVAL);
    assert_kept_from(&f, DEL, &c, -EINVAL);
}

static void an_out_or_a_callback_is_needed(void **state)
{
    fake f = new_fake(&fake_ops);
    call c = good_call();

    (void)state;
    assert_reaches(&f, LIST, &c);
    assert_ptr_equal(f.arg, &fake_junk);
    assert_true(f.fn == list_nothing);
    c.fn = NULL;
    assert_kept_from(&f, LIST, &c, -EINVAL);
    c = good_call();
    c.no_out = true;
    for (fake_op op = 0; op < OPS; op++)
        if (has_out(op))
            assert_kept_from(&f, op, &c, -EINVAL);
}

static void an_ended_context_starts_no_work_but_closes(void **state)
{
    blob_ctx *cancelled = new_ctx(NULL), *late = new_timeout(NULL, 0), *running = new_timeout(NULL, 3600 * 1000);
    fake f = new_fake(&fake_ops);
    call c = good_call();

    (void)state;
    blob_ctx_cancel(cancelled);
    for (fake_op op = 0; op < OPS; op++) {
        c.ctx = running;
        assert_reaches(&f, op, &c);
        if (op == CAS_PUT)
            continue; /* it gives an address all the same: see below */
        c.ctx = cancelled;
        if (op == CLOSE)
            assert_reaches(&f, op, &c);
        else
            assert_kept_from(&f, op, &c, -ECANCELED);
        c.ctx = late;
        if (op == CLOSE)
            assert_reaches(&f, op, &c);
        else
            assert_kept_from(&f, op, &c, -ETIMEDOUT);
    }
    blob_ctx_free(running);
    blob_ctx_free(late);
    blob_ctx_free(cancelled);
}

/* *out is set whenever it could be computed, and computing it asks nobody. */
static void an_ended_context_lets_cas_put_give_the_address_and_store_nothing(void **state)
{
    blob_store_ops no_key = fake_ops;
    blob_ctx *cancelled = new_ctx(NULL);
    fake f = new_fake(&fake_ops), g = new_fake(&no_key);
    call c = good_call();
    blob_error error;

    (void)state;
    blob_ctx_cancel(cancelled);
    c.ctx = cancelled;
    f.fill = true;
    assert_int_equal(make_call(CAS_PUT, &f.store, &c), -ECANCELED);
    blob_last_error(&error);
    assert_int_equal(error.status, -ECANCELED);
    assert_non_null(strstr(error.text, "cas_put not begun"));
    assert_int_equal(f.calls, 1);
    assert_int_equal(f.op, CAS_KEY);
    assert_null(f.ctx);
    assert_int_equal(address.size, 32);
    f.status = -ENOMEM; /* of the address: the put was not begun all the same */
    assert_int_equal(make_call(CAS_PUT, &f.store, &c), -ECANCELED);
    assert_int_equal(address.size, 0);
    no_key.cas_key = NULL;
    assert_kept_from(&g, CAS_PUT, &c, -ECANCELED);
    c.data = blob_view_of(NULL, 1);
    assert_kept_from(&f, CAS_PUT, &c, -EINVAL);
    blob_ctx_free(cancelled);
}

/* What never comes back from one */

static void what_a_store_gives_is_handed_on(void **state)
{
    fake f = new_fake(&fake_ops);
    call c = good_call();

    (void)state;
    for (fake_op op = 0; op < OPS; op++)
        assert_reaches(&f, op, &c);
    assert_ptr_equal(got, &fake_junk);
    assert_int_equal(make_call(GET, &f.store, &c), 0);
    assert_ptr_equal(got, &fake_junk);
    assert_int_equal(make_call(SIZE, &f.store, &c), 0);
    assert_int_equal(number, 77);
    assert_int_equal(make_call(LEN, &f.store, &c), 0);
    assert_int_equal(number, 77);
    assert_int_equal(make_call(CAS_KEY, &f.store, &c), 0);
    assert_int_equal(address.size, 32);
}

static void a_failure_leaves_nothing_in_an_out_but_the_address_of_a_put(void **state)
{
    fake f = new_fake(&fake_ops);
    call c = good_call();

    (void)state;
    f.status = BLOB_UNAVAILABLE;
    f.fill = true;
    for (fake_op op = 0; op < OPS; op++) {
        assert_int_equal(make_call(op, &f.store, &c), BLOB_UNAVAILABLE);
        assert_true(op == CAS_PUT ? address.size == 32 : out_is_clear(op));
    }
    f.fill = false;
    assert_int_equal(make_call(CAS_PUT, &f.store, &c), BLOB_UNAVAILABLE);
    assert_int_equal(address.size, 0);
}

static void an_answer_that_no_store_may_give_is_an_error(void **state)
{
    const int impossible[] = {1, BLOB_LIST_STOP, 20001, 0x7fffffff};
    fake f = new_fake(&fake_ops);
    call c = good_call();
    blob_error error;

    (void)state;
    f.fill = true;
    for (fake_op op = 0; op < OPS; op++)
        for (size_t i = 0; i < COUNT(impossible); i++) {
            f.status = impossible[i];
            assert_int_equal(make_call(op, &f.store, &c), -EIO);
            blob_last_error(&error);
            assert_int_equal(error.status, -EIO);
            assert_non_null(strstr(error.text, op == CLOSE ? "close" : "fake"));
            assert_true(op == CAS_PUT || out_is_clear(op));
        }
    f.status = 0;
    f.fill = false;
    assert_int_equal(make_call(GET, &f.store, &c), -EIO); /* success, and no blob */
}

static void an_address_that_cannot_be_is_not_handed_on(void **state)
{
    const size_t good[] = {1, 20, BLOB_ADDRESS_MAX}, bad[] = {0, BLOB_ADDRESS_MAX + 1, SIZE_MAX};
    fake f = new_fake(&fake_ops);
    call c = good_call();

    (void)state;
    f.fill = true;
    for (fake_op op = CAS_KEY; op <= CAS_PUT; op++)
        for (int i = 0; i < 3; i++) {
            f.status = 0;
            f.address_size = good[i];
            assert_int_equal(make_call(op, &f.store, &c), 0);
            assert_int_equal(address.size, good[i]);
            f.address_size = bad[i];
            assert_int_equal(make_call(op, &f.store, &c), -EIO);
            assert_int_equal(address.size, 0);
            f.status = -ENOSPC; /* a caller may read as many bytes as the size says after a failure too */
            assert_int_equal(make_call(op, &f.store, &c), -ENOSPC);
            assert_int_equal(address.size, 0);
        }
}

static void the_reason_is_this_calls_or_none(void **state)
{
    fake f = new_fake(&fake_ops);
    call c = good_call();
    blob_error error;

    (void)state;
    for (fake_op op = 0; op < OPS; op++) {
        f.status = BLOB_DENIED;
        f.words = "the far side said so";
        assert_int_equal(make_call(op, &f.store, &c), BLOB_DENIED);
        blob_last_error(&error);
        assert_int_equal(error.status, BLOB_DENIED);
        assert_string_equal(error.text, f.words);
        f.words = NULL;
        assert_int_equal(make_call(op, &f.store, &c), BLOB_DENIED);
        blob_last_error(&error);
        assert_int_equal(error.status, BLOB_DENIED);
        assert_string_equal(error.text, "");
    }
}

static void a_success_leaves_the_last_reason_alone(void **state)
{
    fake f = new_fake(&fake_ops);
    call c = good_call();
    blob_error error;

    (void)state;
    for (fake_op op = 0; op < OPS; op++) {
        blob_fail(-EXDEV, 0, "the last reason");
        assert_reaches(&f, op, &c);
        blob_last_error(&error);
        assert_int_equal(error.status, -EXDEV);
        assert_string_equal(error.text, "the last reason");
    }
}

static void a_callbacks_verdict_ends_a_listing_as_the_contract_says(void **state)
{
    (void)state;
    assert_int_equal(wb_list_end(BLOB_LIST_STOP), 0);
    assert_int_equal(wb_list_end(-EPIPE), -EPIPE);
    assert_int_equal(wb_list_end(BLOB_FULL), BLOB_FULL);
    assert_int_equal(wb_list_end(2), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_store_or_its_table_nothing_is_called),
        cmocka_unit_test(a_table_may_lack_any_operation),
        cmocka_unit_test(an_operation_past_the_tables_end_does_not_exist),
        cmocka_unit_test(traits_are_optional),
        cmocka_unit_test(impossible_keys_are_refused),
        cmocka_unit_test(a_view_without_its_bytes_is_refused),
        cmocka_unit_test(flags_an_operation_does_not_know_are_refused),
        cmocka_unit_test(an_out_or_a_callback_is_needed),
        cmocka_unit_test(an_ended_context_starts_no_work_but_closes),
        cmocka_unit_test(an_ended_context_lets_cas_put_give_the_address_and_store_nothing),
        cmocka_unit_test(what_a_store_gives_is_handed_on),
        cmocka_unit_test(a_failure_leaves_nothing_in_an_out_but_the_address_of_a_put),
        cmocka_unit_test(an_answer_that_no_store_may_give_is_an_error),
        cmocka_unit_test(an_address_that_cannot_be_is_not_handed_on),
        cmocka_unit_test(the_reason_is_this_calls_or_none),
        cmocka_unit_test(a_success_leaves_the_last_reason_alone),
        cmocka_unit_test(a_callbacks_verdict_ends_a_listing_as_the_contract_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
