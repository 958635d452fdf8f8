// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Append-only record of the checkpoints of transparency logs.
/// @notice Holds no funds, cannot be upgraded, and has no way to alter or remove a record. Only the
/// account that deployed it appends, and per log only ever a larger tree.
/// Format of what is recorded: docs/spec/anchor.md section 4.
contract MifengAnchor {
    struct Record {
        bytes32 root;
        bytes32 note;
        uint64 time;
    }

    /// @notice The only account that may append.
    address public immutable owner;

    /// @notice The largest size recorded for a log, by SM3 of its origin line.
    mapping(bytes32 origin => uint64 size) public latest;

    mapping(bytes32 origin => mapping(uint64 size => Record)) private _records;

    /// @param origin SM3 of the log's origin line.
    /// @param size leaves of the tree.
    /// @param root root of the tree.
    /// @param note SM3 of the whole signed checkpoint note.
    event Anchored(bytes32 indexed origin, uint64 indexed size, bytes32 root, bytes32 note);

    error NotOwner();
    error NotLarger(uint64 latest, uint64 size);

    constructor() {
        owner = msg.sender;
    }

    /// @notice Record one checkpoint.
    function append(bytes32 origin, uint64 size, bytes32 root, bytes32 note) external {
        if (msg.sender != owner) revert NotOwner();
        uint64 last = latest[origin];
        if (size <= last) revert NotLarger(last, size);
        latest[origin] = size;
        _records[origin][size] = Record(root, note, uint64(block.timestamp));
        emit Anchored(origin, size, root, note);
    }

    /// @notice What was recorded for a log at a size; zeros if nothing was.
    function recorded(bytes32 origin, uint64 size)
        external
        view
        returns (bytes32 root, bytes32 note, uint64 time)
    {
        Record storage found = _records[origin][size];
        return (found.root, found.note, found.time);
    }
}
