/* The verbs of ledger/jobs.py, repair.py and changes.py: one job of two items, two workers, an upkeep, a broker that
   loses and doubles, a clock, a user. Every move passes MOVE_*, which is generated from ledger/states.py.

   Committed effects are atomic. Where a verb reads first and writes later, the two are separate steps, so that what
   PostgreSQL lets in between is let in here; `locked` is the row lock on the job (jobs.lock).

   Scenario:  STALLS     leases that may end although their worker lives     HANDBACKS  hand_backs (SIGTERM)
              FAULTS     attempts that fail and are tried again              LOSSES, DOUBLES  of rings
              CANCELS, RETRIES, PAUSES  by the user                          KILLS      item 0 kills its process
   Mutations: NO_FENCE NO_RERING NO_SPLIT NO_RESCUE NO_LOCK NO_RECHECK NO_REFUSAL */

#ifndef STALLS
#define STALLS 0
#endif
#ifndef HANDBACKS
#define HANDBACKS 0
#endif
#ifndef FAULTS
#define FAULTS 0
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#ifndef DOUBLES
#define DOUBLES 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef RETRIES
#define RETRIES 0
#endif
#ifndef PAUSES
#define PAUSES 0
#endif

#define CHUNKS 4
#define NOBODY 9
#define EACH(f) f(0) f(1) f(2) f(3)

/* rows */
byte job = JOB_BORN, generation = 1, succeeded, failed, cancelled, made = 1;
byte item[2] = ITEM_BORN, home[2];
byte chunk[CHUNKS] = CHUNK_BORN, attempt[CHUNKS], crashes[CHUNKS];
bool rung[CHUNKS], late[CHUNKS];          /* late: the lease has ended */
bool paused, held[CHUNKS];                /* held: waits for a place, which a paused job has not, and not for a time */
bool locked, open;                        /* open: a transaction shows half of its effects to this model */
byte ends;                                /* audit row and delivery of an end, written by `announce` */
/* the world */
byte bell[CHUNKS];                        /* messages that the broker holds */
byte holds[2] = NOBODY, token[2];         /* what each worker is busy with, under which attempt */
byte stalls = STALLS, handbacks = HANDBACKS, faults = FAULTS, losses = LOSSES, doubles = DOUBLES, cancels = CANCELS, retries = RETRIES, pauses = PAUSES;

#ifdef NO_LOCK
#define LOCK(value) skip
#define FREE true
#else
#define LOCK(value) locked = value
#define FREE !locked
#endif

#ifdef NO_RECHECK  /* two rules that each suffice here are taken away together */
#define HANDBACK_FREE true
#else
#define HANDBACK_FREE FREE
#endif

#ifdef NO_FENCE
#define OURS(c, a) (chunk[c] == CHUNK_RUNNING)
#else
#define OURS(c, a) (chunk[c] == CHUNK_RUNNING && attempt[c] == a)
#endif

#ifdef KILLS
#define SURVIVES(have) (!(have & 1))
#else
#define SURVIVES(have) true
#endif

#define PENDING(i, c) (item[i] == ITEM_PENDING && home[i] == c)
#define LIVE(c) (c < made && (chunk[c] == CHUNK_QUEUED || chunk[c] == CHUNK_RUNNING || chunk[c] == CHUNK_WAITING))
#define JOB_OVER ENDED_JOB(job)
#define IS(i, s) (item[i] == s -> 1 : 0)
#define TALLY(s) (IS(0, s) + IS(1, s))
#define HELD(c, w) (holds[w] == c && token[w] == attempt[c])
#define AGAIN(c) rung[c] = false; late[c] = false; held[c] = paused; \
    if :: paused -> MOVE_CHUNK(chunk[c], CHUNK_WAITING) :: else -> MOVE_CHUNK(chunk[c], CHUNK_QUEUED) fi

/* What holds after every commit. */
inline commit() {
    if
    :: open -> skip
    :: else ->
        assert(succeeded == TALLY(ITEM_SUCCEEDED) && failed == TALLY(ITEM_FAILED) && cancelled == TALLY(ITEM_CANCELLED)); /* once each */
        assert(!JOB_OVER || TALLY(ITEM_PENDING) == 0);
        assert(!JOB_OVER || !(LIVE(0) || LIVE(1) || LIVE(2) || LIVE(3)));
        assert(item[0] != ITEM_PENDING || LIVE(home[0]));                                     /* no item without a live chunk */
        assert(item[1] != ITEM_PENDING || LIVE(home[1]));
        assert(!(JOB_OVER && paused));
        assert(ends + (JOB_OVER -> 0 : 1) == generation)                                      /* each end is announced, once */
    fi
}

inline record(i, s) {  /* one line of settle_items: the row is guarded, the counter is not */
    if
    :: item[i] == ITEM_PENDING -> MOVE_ITEM(item[i], s)
    :: else -> skip
    fi;
    if
    :: s == ITEM_SUCCEEDED -> succeeded++
    :: else -> failed++
    fi
}

inline close() {
    if
    :: job == JOB_RUNNING && succeeded + failed + cancelled == 2 ->
        if
        :: failed == 0 -> MOVE_JOB(job, JOB_SUCCEEDED)
        :: failed != 0 && succeeded == 0 -> MOVE_JOB(job, JOB_FAILED)
        :: else -> MOVE_JOB(job, JOB_PARTIAL)
        fi;
        ends++; paused = false
    :: else -> skip
    fi
}

inline birth(c, died) {
    chunk[c] = (paused -> CHUNK_WAITING : CHUNK_QUEUED); held[c] = paused; assert(BORN_CHUNK(chunk[c])); attempt[c] = 0; crashes[c] = died; rung[c] = false; late[c] = false
}

proctype Worker(byte me) {
    byte c, mine, have;  /* have: bits of the items that were pending at the claim */
end_idle:
    do
    :: atomic { FREE && bell[0] -> c = 0 } break
    :: atomic { FREE && bell[1] -> c = 1 } break
    :: atomic { FREE && bell[2] -> c = 2 } break
    :: atomic { FREE && bell[3] -> c = 3 } break
    od;
    atomic {  /* claim */
        FREE ->
        if
        :: bell[c] == 0 -> c = 0; goto end_idle  /* the other worker, or the fault, was first */
        :: else -> bell[c]--
        fi;
        if
#ifndef NO_REFUSAL
        :: c < made && chunk[c] == CHUNK_QUEUED && paused -> AGAIN(c); commit(); c = 0; goto end_idle  /* its time came just before */
        :: c < made && chunk[c] == CHUNK_QUEUED && !paused ->
#else
        :: c < made && chunk[c] == CHUNK_QUEUED ->
#endif
            assert(!paused);  /* a paused job starts nothing */
            MOVE_CHUNK(chunk[c], CHUNK_RUNNING); attempt[c]++; rung[c] = false; late[c] = false;
            if
            :: job == JOB_QUEUED -> MOVE_JOB(job, JOB_RUNNING)
            :: else -> skip
            fi;
            mine = attempt[c]; holds[me] = c; token[me] = mine;
            have = (PENDING(0, c) -> 1 : 0) + (PENDING(1, c) -> 2 : 0);
            commit()
        :: else -> c = 0; goto end_idle  /* a double ring: dropped */
        fi
    }
    do
    :: atomic { late[c] && OURS(c, mine) -> late[c] = false }  /* beat */
    :: atomic { HANDBACK_FREE && handbacks > 0 -> handbacks--;  /* hand_back */
        if
        :: OURS(c, mine) -> AGAIN(c)
        :: else -> skip
        fi; commit(); goto done }
#ifdef KILLS
    :: atomic { (have & 1) -> goto done }  /* the process dies of item 0 */
#endif
    :: atomic { FREE && faults > 0 && have == 3 -> faults--;  /* fail: item 0 has its outcome, the rest is tried again */
        if
        :: OURS(c, mine) -> MOVE_CHUNK(chunk[c], CHUNK_WAITING); rung[c] = false; late[c] = false; record(0, ITEM_SUCCEEDED); close()
        :: else -> skip
        fi; commit(); goto done }
    :: atomic { FREE && SURVIVES(have) ->  /* finish: each item one way or the other */
        if
        :: OURS(c, mine) ->
            MOVE_CHUNK(chunk[c], CHUNK_DONE); late[c] = false;
            if
            :: have & 1 -> record(0, ITEM_SUCCEEDED)
            :: else -> skip
            fi;
            if
            :: have & 2 -> record(1, ITEM_SUCCEEDED)
#if RETRIES
            :: have & 2 -> record(1, ITEM_FAILED)
#endif
            :: !(have & 2) -> skip
            fi;
            close()
        :: else -> skip  /* stale: discarded */
        fi; commit(); goto done }
    od;
done:
    atomic { holds[me] = NOBODY; token[me] = 0; c = 0; mine = 0; have = 0; goto end_idle }
}

#define RESCUABLE(c) (c < made && chunk[c] == CHUNK_RUNNING && late[c])
#define TAKE(c) :: atomic { FREE && RESCUABLE(c) -> LOCK(true); at = c; was = attempt[c]; died = crashes[c] + 1; \
                            pending = (PENDING(0, c) -> 1 : 0) + (PENDING(1, c) -> 2 : 0) } goto write;
/* A third message for the same chunk is no news. */
#define PUBLISH(c) bell[c] = (bell[c] < 2 -> bell[c] + 1 : 2)
#define RING(c) :: atomic { c < made && chunk[c] == CHUNK_QUEUED && !rung[c] -> rung[c] = true; PUBLISH(c) }
#define RERING(c) :: atomic { c < made && chunk[c] == CHUNK_QUEUED && rung[c] && bell[c] == 0 -> PUBLISH(c) }
/* due looks at the job without a lock, so a pause may come in between. */
#define DUE(c) :: atomic { c < made && chunk[c] == CHUNK_WAITING && !held[c] && !paused -> at = c } goto lift;

proctype Upkeep() {
    byte at, was, died, pending;
    bool hit;
end:
    do
#ifndef NO_RESCUE
    EACH(TAKE)
#endif
    EACH(RING)
#ifndef NO_RERING
    EACH(RERING)
#endif
    EACH(DUE)
    od;
lift:
    atomic {
        if
        :: chunk[at] == CHUNK_WAITING && !held[at] -> MOVE_CHUNK(chunk[at], CHUNK_QUEUED); rung[at] = false
        :: else -> skip
        fi;
        at = 0; commit(); goto end
    }
write:
    atomic {  /* rescue: what was read is written, if the row is still as it was */
        hit = OURS(at, was);
#ifndef NO_RECHECK
        hit = hit && late[at];
        if
        :: !hit -> goto released
        :: else -> skip
        fi;
#endif
        assert(died <= GIVE_UP_AFTER);  /* nothing kills one process after the other for ever */
        if
        :: pending != 3 && died >= GIVE_UP_AFTER ->
            if
            :: hit -> MOVE_CHUNK(chunk[at], CHUNK_DEAD); crashes[at] = died; late[at] = false
            :: else -> skip
            fi;
            if
            :: pending & 1 -> record(0, ITEM_FAILED)
            :: else -> skip
            fi;
            if
            :: pending & 2 -> record(1, ITEM_FAILED)
            :: else -> skip
            fi;
            close()
#ifndef NO_SPLIT
        :: pending == 3 && died >= SPLIT_AFTER ->
            if
            :: hit -> MOVE_CHUNK(chunk[at], CHUNK_DEAD); crashes[at] = died; late[at] = false
            :: else -> skip
            fi;
            birth(made, 0); home[0] = made; made++;
            birth(made, 0); home[1] = made; made++
        :: !(pending == 3 && died >= SPLIT_AFTER) && !(pending != 3 && died >= GIVE_UP_AFTER) ->
#else
        :: !(pending != 3 && died >= GIVE_UP_AFTER) ->
#endif
            if
            :: hit -> AGAIN(at); crashes[at] = died
            :: else -> skip
            fi
        fi;
        commit();
released:
        LOCK(false); at = 0; was = 0; died = 0; pending = 0; hit = false; goto end
    }
}

#define LEASE_ENDS(c) :: atomic { c < made && chunk[c] == CHUNK_RUNNING && !late[c] && !HELD(c, 0) && !HELD(c, 1) -> late[c] = true } \
                      :: atomic { c < made && chunk[c] == CHUNK_RUNNING && !late[c] && (HELD(c, 0) || HELD(c, 1)) && stalls > 0 -> \
                                  stalls--; late[c] = true }
#define FAULT(c) :: atomic { bell[c] > 0 && losses > 0 -> losses--; bell[c]-- } \
                 :: atomic { bell[c] > 0 && doubles > 0 -> doubles--; PUBLISH(c) }

proctype World() {
end:
    do
    EACH(LEASE_ENDS)
    EACH(FAULT)
    od
}

#define CANCEL(c) if :: c < seen && LIVE(c) -> MOVE_CHUNK(chunk[c], CHUNK_CANCELLED); rung[c] = false; late[c] = false; held[c] = false :: else -> skip fi;

#define HOLD(c) if :: c < made && chunk[c] == CHUNK_QUEUED -> AGAIN(c) :: else -> skip fi;
#define LET_UP(c) if :: c < made && chunk[c] == CHUNK_WAITING && held[c] -> AGAIN(c) :: else -> skip fi;

proctype User() {
    byte i, seen;  /* seen: the chunks in the snapshot of cancel's first statement, which may then wait for a row */
end:
    do
    :: atomic { cancels > 0 && FREE && !JOB_OVER -> cancels--; LOCK(true); seen = made }
       atomic { open = true; EACH(CANCEL) }
       atomic {
        for (i : 0 .. 1) {
            if
            :: item[i] == ITEM_PENDING -> MOVE_ITEM(item[i], ITEM_CANCELLED); cancelled++
            :: else -> skip
            fi
        }
        MOVE_JOB(job, JOB_CANCELLED); ends++; paused = false; i = 0; seen = 0; open = false; commit(); LOCK(false) }
    :: atomic { pauses > 0 && FREE && !JOB_OVER && !paused -> pauses--; paused = true; EACH(HOLD) commit() }
    :: atomic { paused && FREE && !JOB_OVER -> paused = false; EACH(LET_UP) commit() }
    :: atomic { retries > 0 && FREE && (job == JOB_FAILED || job == JOB_PARTIAL) -> retries--;
        birth(made, 0);
        for (i : 0 .. 1) {
            if
            :: item[i] == ITEM_FAILED -> MOVE_ITEM(item[i], ITEM_PENDING); home[i] = made; failed--
            :: else -> skip
            fi
        }
        made++; i = 0; generation++; MOVE_JOB(job, JOB_QUEUED); commit() }
    od
}

/* Something always moves, so that a system that has come to rest too early is a cycle that a claim can see. */
bool resting;
proctype Idle() {
    do
    :: resting = false
    od
}

init {
    atomic {
        assert(BORN_JOB(job) && BORN_CHUNK(chunk[0]) && BORN_ITEM(item[0]));
        run Worker(0); run Worker(1); run Upkeep(); run World(); run User(); run Idle()
    }
}

ltl cancelled_stays_cancelled { [] (job != JOB_CANCELLED || [] (job == JOB_CANCELLED)) }
/* A user's retry opens an ended job again, so "ends" means: ends and stays so. */
ltl every_job_ends { <> [] (JOB_OVER) }
#ifdef KILLS
ltl only_the_killer_fails { <> [] (job == JOB_PARTIAL && item[0] == ITEM_FAILED && item[1] == ITEM_SUCCEEDED) }
#endif
