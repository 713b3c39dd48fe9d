/* test_ledger.c - the ledger's promises, one by one; test_ledger_model.c tries them all at once. */
#include "testutil.h"
#include "wbstore/ledger.h"
#include "blob/ctx.h"

#include <stdlib.h>
#include <string.h>

static int set_up(void **state)
{
    wb_ledger *l = calloc(1, sizeof *l);

    test_watchdog(120);
    assert_non_null(l);
    test_ok(wb_ledger_init(l, 42));
    *state = l;
    return 0;
}

static int tear_down(void **state)
{
    wb_ledger_free(*state);
    free(*state);
    return 0;
}

/* A blob of one byte, queued; ticket 0: resumed. */
static wb_entry *join(wb_ledger *l, const char *key, uint64_t ticket)
{
    wb_entry *e = wb_ledger_make(l, test_key(key));

    assert_non_null(e);
    wb_ledger_join(l, e, ticket, 1, 0);
    return e;
}

static void wait_until(wb_ledger *l, wb_entry *e, int64_t due_ns)
{
    if (e->attempt == NULL) {
        e->attempt = wb_attempt_new(l);
        assert_non_null(e->attempt);
        e->attempt->entry = e;
    }
    wb_ledger_move(l, e, WBSTORE_SENDING);
    e->attempt->due_ns = due_ns;
    wb_ledger_move(l, e, WBSTORE_WAITING);
}

static void keys_of_every_length_and_content_are_told_apart(void **state)
{
    wb_ledger *l = *state;
    unsigned char zeros[BLOB_KEY_MAX] = {0}, other[BLOB_KEY_MAX];
    wb_entry *made[BLOB_KEY_MAX + 1][2];

    memset(other, 0, sizeof other);
    for (size_t size = 0; size <= BLOB_KEY_MAX; size++) {
        made[size][0] = wb_ledger_make(l, blob_key_of(size > 0 ? zeros : NULL, size));
        if (size > 0)
            other[size - 1] = 1;
        made[size][1] = wb_ledger_make(l, blob_key_of(other, size));
        assert_int_equal(blob_key_compare(wb_entry_key(made[size][1]), blob_key_of(other, size)), 0);
        if (size > 0)
            other[size - 1] = 0;
    }
    for (size_t size = 0; size <= BLOB_KEY_MAX; size++) {
        assert_ptr_equal(wb_ledger_find(l, blob_key_of(zeros, size)), made[size][0]);
        assert_true(size == 0 ? made[0][0] == made[0][1] : made[size][0] != made[size][1]);
    }
    assert_int_equal(l->keys.count, 2 * BLOB_KEY_MAX + 1);
}

#define MANY 40000

static blob_key many_key(unsigned i, unsigned char *room)
{
    test_fill(i, room, 32);
    return blob_key_of(room, 32);
}

static void it_grows_through_many_pages_and_loses_nobody(void **state)
{
    wb_ledger *l = *state;
    wb_entry **made = calloc(MANY, sizeof *made);
    unsigned char room[32];

    assert_non_null(made);
    for (unsigned round = 0; round < 2; round++) { /* the second one after it has shrunk again */
        for (unsigned i = 0; i < MANY; i++) {
            made[i] = wb_ledger_make(l, many_key(i, room));
            wb_ledger_join(l, made[i], (uint64_t)round * MANY + i + 1, 1, 0);
        }
        assert_true(l->keys.depth >= 6);
        for (unsigned i = 0; i < MANY; i++)
            assert_ptr_equal(wb_ledger_find(l, many_key(i, room)), made[i]);
        for (unsigned i = 0; i < MANY; i++) {
            wb_ledger_leave(l, made[i]);
            wb_ledger_settle(l, made[i]);
            assert_null(wb_ledger_find(l, many_key(i, room)));
        }
        assert_int_equal(l->keys.count, 0);
        assert_int_equal(l->keys.depth, 0);
    }
    free(made);
}

static void resumed_blobs_come_before_every_ticket_in_the_order_of_resuming(void **state)
{
    wb_ledger *l = *state;
    static const char *const order[] = {"r1", "r2", "r3", "t1", "t2"};

    join(l, "t1", 1);
    join(l, "r1", 0);
    join(l, "r2", 0);
    join(l, "t2", 2);
    join(l, "r3", 0);
    for (unsigned i = 0; i < 5; i++) {
        wb_entry *e = wb_ledger_next(l, 0, WB_TURN_RETRY);
        assert_non_null(e);
        assert_int_equal(blob_key_compare(wb_entry_key(e), test_key(order[i])), 0);
        assert_int_equal(wb_ledger_safe_ticket(l, 2), i < 3 ? 0 : i - 3);
        wb_ledger_leave(l, e);
        wb_ledger_settle(l, e);
    }
    assert_int_equal(wb_ledger_safe_ticket(l, 2), 2);
}

static void a_parked_blob_holds_up_the_safe_ticket_and_nobody_else(void **state)
{
    wb_ledger *l = *state;
    wb_entry *one = join(l, "one", 1), *two = join(l, "two", 2);

    wb_ledger_move(l, one, WBSTORE_PARKED);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), two);
    wb_ledger_leave(l, two);
    assert_null(wb_ledger_next(l, 0, WB_TURN_RETRY));
    assert_int_equal(wb_ledger_safe_ticket(l, 2), 0);
    wb_ledger_move(l, one, WBSTORE_QUEUED);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), one);
    wb_ledger_leave(l, one);
    assert_int_equal(wb_ledger_safe_ticket(l, 2), 2);
}

static void each_parked_blob_is_told_of_once_for_each_time_oldest_first(void **state)
{
    wb_ledger *l = *state;
    wb_entry *e[9];
    char key[2] = "a";

    for (unsigned i = 0; i < 9; i++, key[0]++)
        e[i] = join(l, key, i + 1);
    assert_null(wb_ledger_untold(l));
    wb_ledger_move(l, e[4], WBSTORE_PARKED);
    wb_ledger_move(l, e[6], WBSTORE_PARKED);
    wb_ledger_move(l, e[2], WBSTORE_PARKED);
    assert_ptr_equal(wb_ledger_untold(l), e[2]);
    assert_ptr_equal(wb_ledger_untold(l), e[4]);
    wb_ledger_move(l, e[1], WBSTORE_PARKED); /* before those that were told of */
    wb_ledger_move(l, e[7], WBSTORE_PARKED);
    wb_ledger_move(l, e[6], WBSTORE_QUEUED); /* parked no more */
    assert_ptr_equal(wb_ledger_untold(l), e[1]);
    assert_ptr_equal(wb_ledger_untold(l), e[7]);
    assert_null(wb_ledger_untold(l));
    wb_ledger_move(l, e[4], WBSTORE_QUEUED);
    wb_ledger_move(l, e[4], WBSTORE_PARKED); /* once more */
    wb_ledger_move(l, e[3], WBSTORE_PARKED);
    wb_ledger_leave(l, e[3]); /* the next one to be told of */
    assert_ptr_equal(wb_ledger_untold(l), e[4]);
    assert_null(wb_ledger_untold(l));
}

static void a_blob_that_joins_late_stands_where_its_ticket_stands(void **state)
{
    wb_ledger *l = *state;
    wb_entry *resumed = join(l, "resumed", 0), *two = join(l, "two", 2), *five = join(l, "five", 5);
    wb_entry *one, *three, *six;

    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), resumed);
    wb_ledger_move(l, resumed, WBSTORE_SENDING);
    wb_ledger_move(l, two, WBSTORE_SENDING);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), five);
    three = join(l, "three", 3);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), three);
    one = join(l, "one", 1);
    six = join(l, "six", 6);
    assert_ptr_equal(l->active.head, resumed);
    assert_ptr_equal(resumed->next, one);
    assert_ptr_equal(one->next, two);
    assert_ptr_equal(two->next, three);
    assert_ptr_equal(three->next, five);
    assert_ptr_equal(five->next, six);
    assert_ptr_equal(l->active.tail, six);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), one);
}

static void a_blob_whose_key_is_let_go_is_sent_in_its_turn(void **state)
{
    wb_ledger *l = *state;
    wb_entry *one = join(l, "one", 1), *two = join(l, "two", 2), *three = join(l, "three", 3);

    one->hand = WB_HAND_CALLER;
    two->removers = 1;
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), three);
    two->removers = 0;
    wb_ledger_free_to_send(l, two);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), two);
    one->hand = WB_HAND_NONE;
    wb_ledger_free_to_send(l, one);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), one);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_PROBE), one); /* asking changes nothing */
}

static void who_has_waited_long_enough_comes_before_the_queued(void **state)
{
    wb_ledger *l = *state;
    wb_entry *queued = join(l, "queued", 1), *late = join(l, "late", 2), *soon = join(l, "soon", 3);

    wait_until(l, late, 200);
    wait_until(l, soon, 100);
    assert_int_equal(wb_ledger_due_ns(l), 100);
    assert_ptr_equal(wb_ledger_next(l, 99, WB_TURN_RETRY), queued);
    assert_ptr_equal(wb_ledger_next(l, 100, WB_TURN_RETRY), soon);
    wb_ledger_leave(l, soon);
    assert_ptr_equal(wb_ledger_next(l, 150, WB_TURN_RETRY), queued);
    wb_ledger_leave(l, queued);
    assert_null(wb_ledger_next(l, 150, WB_TURN_RETRY));
    wb_ledger_leave(l, late);
    assert_int_equal(wb_ledger_due_ns(l), WB_NEVER);
}

static void the_queued_come_first_when_it_is_their_turn(void **state)
{
    wb_ledger *l = *state;
    wb_entry *queued = join(l, "queued", 1), *late = join(l, "late", 2);

    wait_until(l, late, 200);
    assert_ptr_equal(wb_ledger_next(l, 200, WB_TURN_FIRST), queued);
    wb_ledger_leave(l, queued);
    assert_null(wb_ledger_next(l, 199, WB_TURN_FIRST));
    assert_ptr_equal(wb_ledger_next(l, 200, WB_TURN_FIRST), late);
}

static void all_who_wait_can_be_queued_again_each_in_its_place(void **state)
{
    wb_ledger *l = *state;
    wb_entry *three = join(l, "three", 3), *one = join(l, "one", 1), *two = join(l, "two", 2);

    wait_until(l, one, 300);
    wait_until(l, three, 100);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), two);
    wb_ledger_all_queued(l);
    assert_int_equal(l->waiting, 0);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), one);
    wb_ledger_leave(l, one);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), two);
    wb_ledger_leave(l, two);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_RETRY), three);
}

static void all_who_are_parked_can_be_queued_again_each_in_its_place(void **state)
{
    static const char *const keys[] = {"r1", "r2", "r3", "r4", "t1", "t2", "t3", "t4", "t5", "t6"};
    static const bool parks[] = {true, false, true, true, true, false, false, true, false, true};
    wb_ledger *l = *state;
    wb_entry *e[10];

    for (unsigned i = 0; i < 10; i++)
        e[i] = join(l, keys[i], i < 4 ? 0 : i - 3);
    for (unsigned i = 0; i < 10; i++)
        if (!parks[i] && i != 8)
            wait_until(l, e[i], 100);
    for (unsigned i = 0; i < 10; i++)
        if (parks[i])
            wb_ledger_move(l, e[i], WBSTORE_PARKED);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_FIRST), e[8]);
    wb_ledger_all_unparked(l);
    assert_int_equal(l->parked_blobs, 0);
    assert_null(wb_ledger_untold(l));
    join(l, "r5", 0); /* it stands behind the resumed ones that have come back */
    assert_ptr_equal(e[3]->next->next, e[4]);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(e[i]->state, parks[i] || i == 8 ? WBSTORE_QUEUED : WBSTORE_WAITING);
        if (i > 0 && i != 4)
            assert_ptr_equal(e[i - 1]->next, e[i]);
    }
    for (unsigned i = 0; i < 10; i++)
        if (e[i]->state == WBSTORE_QUEUED) {
            if (i == 4)
                wb_ledger_leave(l, wb_ledger_next(l, 0, WB_TURN_FIRST)); /* r5 */
            assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_FIRST), e[i]);
            wb_ledger_leave(l, e[i]);
        }
}

#define MS INT64_C(1000000)

static void a_blob_dwells_unless_it_is_hurried_or_was_resumed(void **state)
{
    wb_ledger *l = *state;
    wb_entry *resumed = wb_ledger_make(l, test_key("resumed")), *first = wb_ledger_make(l, test_key("first")),
             *second = wb_ledger_make(l, test_key("second"));

    l->dwell_ms = 100;
    wb_ledger_join(l, resumed, 0, 1, 50);
    wb_ledger_join(l, first, 1, 1, 60);
    wb_ledger_join(l, second, 2, 1, 70);
    assert_ptr_equal(wb_ledger_next(l, 75 * MS, WB_TURN_RETRY), resumed);
    wb_ledger_leave(l, resumed);
    assert_null(wb_ledger_next(l, 160 * MS - 1, WB_TURN_RETRY));
    assert_int_equal(wb_ledger_due_ns(l), 160 * MS);
    assert_ptr_equal(wb_ledger_next(l, 160 * MS, WB_TURN_RETRY), first);
    l->hurried = wb_order_of(1);
    assert_ptr_equal(wb_ledger_next(l, 75 * MS, WB_TURN_PROBE), first);
    wb_ledger_leave(l, first);
    assert_null(wb_ledger_next(l, 75 * MS, WB_TURN_FIRST)); /* the second is none of the hurried */
    assert_int_equal(wb_ledger_due_ns(l), 170 * MS);
}

static void probing_takes_the_queued_first_then_whoever_has_waited_longest(void **state)
{
    wb_ledger *l = *state;
    wb_entry *a = join(l, "a", 1), *b = join(l, "b", 2), *queued = join(l, "queued", 3);

    wait_until(l, a, 500);
    wait_until(l, b, 400);
    assert_ptr_equal(wb_ledger_next(l, 1000, WB_TURN_PROBE), queued); /* though both are due */
    wb_ledger_leave(l, queued);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_PROBE), b); /* though none is due */
    wait_until(l, b, 600);
    assert_ptr_equal(wb_ledger_next(l, 0, WB_TURN_PROBE), a); /* another one each time */
}

static void who_works_on_a_key_keeps_its_entry(void **state)
{
    wb_ledger *l = *state;
    wb_entry *e = wb_ledger_make(l, test_key("k"));

    e->putters = 1;
    wb_ledger_settle(l, e);
    assert_ptr_equal(wb_ledger_find(l, test_key("k")), e);
    e->putters = 0;
    e->removers = 1;
    wb_ledger_settle(l, e);
    assert_ptr_equal(wb_ledger_find(l, test_key("k")), e);
    e->removers = 0;
    e->hand = WB_HAND_CALLER;
    wb_ledger_settle(l, e);
    assert_ptr_equal(wb_ledger_find(l, test_key("k")), e);
    e->hand = WB_HAND_NONE;
    wb_ledger_join(l, e, 1, 1, 0);
    wb_ledger_settle(l, e);
    assert_ptr_equal(wb_ledger_find(l, test_key("k")), e);
    wb_ledger_leave(l, e);
    wb_ledger_settle(l, e);
    assert_null(wb_ledger_find(l, test_key("k")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_of_every_length_and_content_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_grows_through_many_pages_and_loses_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resumed_blobs_come_before_every_ticket_in_the_order_of_resuming, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_parked_blob_holds_up_the_safe_ticket_and_nobody_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_parked_blob_is_told_of_once_for_each_time_oldest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_blob_that_joins_late_stands_where_its_ticket_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_blob_whose_key_is_let_go_is_sent_in_its_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_waited_long_enough_comes_before_the_queued, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_queued_come_first_when_it_is_their_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_who_wait_can_be_queued_again_each_in_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_who_are_parked_can_be_queued_again_each_in_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_blob_dwells_unless_it_is_hurried_or_was_resumed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(probing_takes_the_queued_first_then_whoever_has_waited_longest, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_works_on_a_key_keeps_its_entry, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
