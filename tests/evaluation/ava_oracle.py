"""The rules of ava_data.md 6.2 to 6.5 in plain loops; shares no code with the evaluator."""

import heapq

PROTOCOLS = {
    # name: limit of a keyframe, named keyframes only, exclusions used, order of matching
    "pyslowfast": (0, False, True, "rows"),
    "activitynet2018": (0, False, True, "score"),
    "activitynet2019": (50, False, True, "heap"),
    "activitynet2020": (50, True, False, "heap"),
}


def _heap(entries, limit):
    heap = []
    for entry in entries:
        if limit == 0 or len(heap) < limit:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)
    return sorted(heap, key=lambda entry: -entry[0])


def _iou(a, b):
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    shared = height * width
    union = (a[3] - a[1]) * (a[2] - a[0]) + (b[3] - b[1]) * (b[2] - b[0]) - shared
    return shared / union


def _frames(rows, action_ids, limit, heap):
    """Return {keyframe: [(score, action, y1, x1, y2, x2)]} in the order of matching."""
    frames = {}
    for video, second, x1, y1, x2, y2, action, score in rows:
        if action in action_ids:
            entry = (score, action, y1, x1, y2, x2)
            frames.setdefault((video, round(second, 6)), []).append(entry)
    if heap:
        frames = {key: _heap(entries, limit) for key, entries in frames.items()}
    return frames


def _average_precision(scores, flags, total):
    rising = sorted(range(len(scores)), key=lambda place: scores[place])  # stable
    points = []
    found = 0
    for rank, place in enumerate(reversed(rising), start=1):
        found += flags[place]
        points.append((found / total, found / rank))
    area = 0.0
    last_recall = 0.0
    for place, (recall, _) in enumerate(points):
        if recall != last_recall:
            area += (recall - last_recall) * max(precision for _, precision in points[place:])
            last_recall = recall
    return area


def evaluate(annotations, detections, action_ids, rules, exclusions=(), named=()):
    """Return {action id: AP or None}.

    annotations: (video, second, x1, y1, x2, y2, action, person or None) rows;
    detections: (video, second, x1, y1, x2, y2, action, score) rows;
    exclusions, named: (video, second); `named` are rows of two columns.
    """
    limit, named_only, use_exclusions, order = PROTOCOLS[rules]
    excluded = {(video, round(second, 6)) for video, second in exclusions}
    excluded = excluded if use_exclusions else set()
    known_keyframes = {(row[0], round(row[1], 6)) for row in [*annotations, *named]}
    scored = [(*row[:7], 1.0 if row[7] is None else float(row[7])) for row in annotations]
    truth = _frames(scored, action_ids, 0, order == "heap")
    found = _frames(detections, action_ids, limit, order == "heap")

    totals = dict.fromkeys(action_ids, 0)
    for key, entries in truth.items():
        if key not in excluded:
            for entry in entries:
                totals[entry[1]] += 1
    scores = {action: [] for action in action_ids}
    flags = {action: [] for action in action_ids}
    for key, entries in found.items():
        if key in excluded or (named_only and key not in known_keyframes):
            continue
        for action in action_ids:
            mine = [e for e in entries if e[1] == action and e[3] < e[5] and e[2] < e[4]]
            if order == "score":
                mine = sorted(mine, key=lambda e: e[0])[::-1]
            boxes = [(e[3], e[2], e[5], e[4]) for e in truth.get(key, []) if e[1] == action]
            taken = [False] * len(boxes)
            for score, _, y1, x1, y2, x2 in mine:
                best, best_iou = -1, -1.0
                for place, box in enumerate(boxes):
                    overlap = _iou((x1, y1, x2, y2), box)
                    if overlap > best_iou:
                        best, best_iou = place, overlap
                hit = best_iou >= 0.5 and not taken[best]
                if hit:
                    taken[best] = True
                scores[action].append(score)
                flags[action].append(hit)
    return {
        action: (
            _average_precision(scores[action], flags[action], totals[action])
            if totals[action]
            else None
        )
        for action in action_ids
    }
